// A subcommand on all ranks: MPI, signals, device, threads and logging around its work.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "launcher/console.h"
#include "trainer/comm/communicator.h"

namespace berth::launch {

// Where a subcommand with a model computes.
struct DeviceOptions {
  std::string device = "auto";  // auto, cpu, cuda, cuda:N
  int threads = 0;              // per rank; 0: OMP_NUM_THREADS, or this rank's share of the cores
  double timeout = 1800;        // seconds until a collective that does not finish ends the job
  // GPUs that cannot be used as asked are no error, but Rank::gpu_problem, and all ranks compute on the CPU.
  bool tolerant = false;
};

struct Rank {
  comm::Communicator& comm;
  std::shared_ptr<Console> console;
  comm::Communicator& world;  // all ranks of the job; in groups, `comm` is the group's alone
  int visible_gpus = 0;       // that this process may use
  std::string gpu = {};       // its own, as sysfs names it: "0000:65:00.0"; "": none
  std::string gpu_problem = {};
};

// Runs `work` on every rank and returns its exit code. Errors are printed once and become exit codes (mpi_session.h).
// With `ranks_per_group` > 0, of which the number of ranks must be a multiple, neighbouring ranks form groups; between groups a
// collective may wait for as long as it takes.
int on_all_ranks(const DeviceOptions& options, const std::string& log_level, const std::function<int(Rank&)>& work,
                 int64_t ranks_per_group = 0);

// For work that a signal stopped on some rank: prints `what` on rank 0 and returns 128 + the signal, as of any program that it
// ends. A collective call.
int end_stopped(const Rank& rank, const std::string& what);

}  // namespace berth::launch
