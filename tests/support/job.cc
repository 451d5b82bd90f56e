#include "tests/support/job.h"

#include <sys/wait.h>

#include <cstdlib>

namespace berth::test {

std::string berth_program() {
  const char* const other = std::getenv("BERTH_PROGRAM");
  return other ? other : std::string(BERTH_BINARY_DIR) + "/berth";
}

JobResult run_shell(const std::string& command, const std::map<std::string, std::string>& environment) {
  const TempDir dir;
  std::string line = "env OMP_NUM_THREADS=1";
  for (const auto& [name, value] : environment) line += " " + name + "='" + value + "'";
  line += " sh -c '" + command + "' >" + (dir / "out").string() + " 2>" + (dir / "err").string() + " </dev/null";
  const int status = std::system(line.c_str());
  return {.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
          .out = read_bytes(dir / "out"),
          .err = read_bytes(dir / "err")};
}

JobResult run_berth(const std::string& arguments, int ranks, const std::map<std::string, std::string>& environment) {
  const std::string mpiexec = "mpiexec --oversubscribe --mca mpi_yield_when_idle 1 -n " + std::to_string(ranks) + " ";
  std::map<std::string, std::string> all = environment;
  all.insert({{"OMPI_ALLOW_RUN_AS_ROOT", "1"}, {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"}});
  return run_shell((ranks > 1 ? mpiexec : "") + berth_program() + " " + arguments, all);
}

}  // namespace berth::test
