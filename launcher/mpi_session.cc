#include "launcher/mpi_session.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <thread>

#include "data/check.h"
#include "launcher/console.h"
#include "trainer/comm/agree.h"
#include "trainer/comm/mpi/mpi_check.h"

namespace berth::launch {
namespace {

// Rank 0 prints at once; the others give lower ranks time to end them first.
[[noreturn]] void end_all(int rank, int code, const std::string& what) {
  std::this_thread::sleep_for(std::chrono::milliseconds(rank == 0 ? 0 : 2000 + 50 * std::min(rank, 100)));
  std::cerr << error_line(what) << std::flush;
  MPI_Abort(MPI_COMM_WORLD, code);
  std::_Exit(code);
}

}  // namespace

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
    if (rank == 0) std::cerr << error_line(error.what()) << std::flush;
    code = static_cast<int>(error.code());
  } catch (const std::exception& exception) {
    const Error error = as_error(exception);
    end_all(rank, static_cast<int>(error.code()), error.what());
  }
  BERTH_MPI(MPI_Finalize());
  return code;
}

std::string launch_problem(int mpi_size, const std::function<const char*(const char*)>& get_env) {
  const char* tasks = get_env("SLURM_STEP_NUM_TASKS");  // set by srun alone, not in a batch script
  const bool other_launcher = get_env("OMPI_COMM_WORLD_SIZE") || get_env("PMI_SIZE") || get_env("PMIX_RANK");
  if (mpi_size > 1 || !tasks || std::atoi(tasks) < 2 || other_launcher) return "";
  return concat("srun started ", tasks, " tasks, but MPI sees one rank: this srun does not speak MPI's start-up protocol. Use ",
                "`srun --mpi=pmix` (`srun --mpi=list` shows what there is) or mpirun inside the allocation");
}

}  // namespace berth::launch
