#include "launcher/mpi_session.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <iterator>
#include <thread>

#include "data/check.h"
#include "launcher/console.h"
#include "launcher/logging.h"
#include "trainer/comm/agree.h"
#include "trainer/comm/mpi/mpi_check.h"

namespace berth::launch {
namespace {

// Rank 0 prints at once; the others give lower ranks time to end them first.
[[noreturn]] void end_all(int rank, int code, const std::string& what) {
  std::this_thread::sleep_for(std::chrono::milliseconds(rank == 0 ? 0 : 2000 + 50 * std::min(rank, 100)));
  std::cerr << error_line(what) << std::flush;
  log_last_error(what);
  MPI_Abort(MPI_COMM_WORLD, code);
  std::_Exit(code);
}

// By which launchers tell a process its place. PMIx, PMI and Open MPI; MPICH, Intel MPI and MVAPICH2; Cray's and IBM's; Flux.
constexpr const char* kPlaceOfRank[] = {"OMPI_COMM_WORLD_SIZE",
                                        "PMIX_RANK",
                                        "PMIX_NAMESPACE",
                                        "PMI_RANK",
                                        "PMI_SIZE",
                                        "PMI_FD",
                                        "PMI_ID",
                                        "MPI_LOCALRANKID",
                                        "MV2_COMM_WORLD_RANK",
                                        "PALS_RANKID",
                                        "ALPS_APP_PE",
                                        "JSM_NAMESPACE_RANK",
                                        "FLUX_TASK_RANK"};

}  // namespace

bool started_alone(const std::function<const char*(const char*)>& get_env) {
  return std::none_of(std::begin(kPlaceOfRank), std::end(kPlaceOfRank), get_env);
}

int run_alone(const std::function<int()>& body) {
  try {
    check_usage(launch_problem(1, std::getenv).empty(), launch_problem(1, std::getenv));
    return body();
  } catch (const std::exception& exception) {
    const Error error = as_error(exception);
    std::cerr << error_line(error.what()) << std::flush;
    log_last_error(error.what());
    return static_cast<int>(error.code());
  }
}

int run_ranks(const std::function<int()>& body) {
  int provided = 0, rank = 0, size = 1;
  BERTH_MPI(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided));
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  int code = 0;
  try {
    check_usage(launch_problem(size, std::getenv).empty(), launch_problem(size, std::getenv));
    code = body();
  } catch (const comm::AgreedError& error) {
    if (rank == 0) {
      std::cerr << error_line(error.what()) << std::flush;
      log_last_error(error.what());
    }
    code = static_cast<int>(error.code());
  } catch (const std::exception& exception) {
    const Error error = as_error(exception);
    end_all(rank, static_cast<int>(error.code()), error.what());
  }
  BERTH_MPI(MPI_Finalize());
  return code;
}

int launched(const std::function<const char*(const char*)>& get_env) {
  // The nearest launcher's first; Slurm's is set by srun alone, not in a batch script.
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"})
    if (const char* value = get_env(name)) return std::atoi(value);
  return 0;
}

std::string launch_problem(int mpi_size, const std::function<const char*(const char*)>& get_env) {
  const int started = launched(get_env);
  if (mpi_size > 1 || started < 2) return "";
  if (get_env("SLURM_STEP_NUM_TASKS") && !get_env("OMPI_COMM_WORLD_SIZE"))
    return concat("srun started ", started,
                  " tasks, but MPI sees one rank: this srun does not speak MPI's start-up protocol. Use ",
                  "`srun --mpi=pmix` (`srun --mpi=list` shows what there is) or mpirun inside the allocation");
  return concat(started,
                " processes were started, but MPI sees one rank: their launcher is not of the MPI that berth was built with. ",
                "Use that one's mpirun (`berth --version` names it)");
}

}  // namespace berth::launch
