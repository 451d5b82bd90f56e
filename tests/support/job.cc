#include "tests/support/job.h"

#include <sys/wait.h>

#include <cstdlib>

namespace berth::test {

std::string berth_program() {
  const char* const other = std::getenv("BERTH_PROGRAM");
  return other ? other : std::string(BERTH_BINARY_DIR) + "/berth";
}

static std::string mpiexec() {
  const char* const other = std::getenv("BERTH_MPIEXEC");
  return other ? other : BERTH_MPIEXEC;
}

std::string mpiexec(int ranks) { return mpiexec() + " -n " + std::to_string(ranks) + " "; }

JobResult run_shell(const std::string& command, const std::map<std::string, std::string>& environment) {
  const TempDir dir;
  std::string line =
      "env OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 "
      "OMPI_MCA_mpi_yield_when_idle=1 PRTE_ALLOW_RUN_AS_ROOT=1 PRTE_ALLOW_RUN_AS_ROOT_CONFIRM=1 "
      "PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe";
  for (const auto& [name, value] : environment) line += " " + name + "='" + value + "'";
  line += " sh -c '" + command + "' >" + (dir / "out").string() + " 2>" + (dir / "err").string() + " </dev/null";
  const int status = std::system(line.c_str());
  return {.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
          .out = read_bytes(dir / "out"),
          .err = read_bytes(dir / "err")};
}

JobResult run_berth(const std::string& arguments, int ranks, const std::map<std::string, std::string>& environment) {
  return run_berth(arguments, ranks, Disturbance{}, environment);
}

Disturbance at_failpoint(const std::string& failpoint, int first, int last) {
  // Before a step a save that is under way is waited for, by ranks that have such a point; they do so together.
  const bool step = failpoint.starts_with("step");
  return {.first = first,
          .last = last,
          .of_ranks = "env BERTH_FAILPOINT=" + failpoint + " ",
          .of_others = step ? "env BERTH_FAILPOINT=step@0 " : "",
          .of_job = {}};
}

JobResult run_berth(const std::string& arguments, int ranks, const Disturbance& disturbance,
                    const std::map<std::string, std::string>& environment) {
  const auto& [first, last, of_ranks, of_others, of_job] = disturbance;
  std::string command = of_job + (ranks > 1 ? mpiexec() : "");
  std::string separator;
  const auto add = [&](int count, const std::string& before) {
    if (count == 0) return;
    command += separator + (ranks > 1 ? " -n " + std::to_string(count) + " " : "") + before + berth_program() + " " + arguments;
    separator = " :";
  };
  add(first, of_others);
  add(last + 1 - first, of_ranks);
  add(ranks - 1 - last, of_others);
  return run_shell(command, environment);
}

}  // namespace berth::test
