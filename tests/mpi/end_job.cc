// A job that ends badly, as its argument says. Run by CTest entries that look at mpiexec's exit code and output.
#include <chrono>
#include <iostream>
#include <string>
#include <thread>

#include "launcher/mpi_session.h"
#include "trainer/comm/agree.h"
#include "trainer/comm/communicator.h"

namespace {

using berth::ExitCode;

// The last rank fails; the others wait for it.
int throw_on_last(berth::comm::Communicator& comm) {
  if (comm.rank() == comm.size() - 1) berth::fail(ExitCode::kDiverged, "the loss of rank ", comm.rank(), " is not finite");
  comm.barrier();
  return 0;
}

int throw_everywhere(berth::comm::Communicator& comm) {
  comm.barrier();
  berth::fail(ExitCode::kBadInput, "the data set has no rows");
}

int throw_agreed(berth::comm::Communicator& comm) {
  berth::comm::agree_on_root(comm, [] { berth::fail(ExitCode::kBadInput, "the model has no config.json"); });
  return 0;
}

int throw_foreign(berth::comm::Communicator& comm) {
  if (comm.rank() == 0) throw std::out_of_range("vector index");
  comm.barrier();
  return 0;
}

// The last rank gets stuck before the gradients are reduced.
int hang_in_reduction(berth::comm::Communicator& comm) {
  at::Tensor gradients = comm.allocate(100);
  for (int step = 0;; ++step) {
    comm.set_stage("step " + std::to_string(step) + ": backward");
    if (step == 3 && comm.rank() == comm.size() - 1) {
      comm.set_stage("step 3: reading data");
      std::this_thread::sleep_for(std::chrono::hours(1));
    }
    comm.wait(comm.start_all_reduce(gradients));
  }
}

int hang_in_barrier(berth::comm::Communicator& comm) {
  comm.set_stage("evaluation");
  if (comm.rank() == 0) std::this_thread::sleep_for(std::chrono::hours(1));
  comm.barrier();
  return 0;
}

int stop_early(berth::comm::Communicator& comm) {
  if (comm.rank() == 0) std::cout << "stopped at step 7" << std::endl;
  return static_cast<int>(ExitCode::kStoppedEarly);
}

int run(const std::string& how) {
  berth::comm::CommOptions options;
  options.timeout_seconds = 2;
  if (how.ends_with("_hosts")) options.ranks_per_host = 1;
  if (how.ends_with("_at_wait")) options.background = false;
  auto comm = berth::comm::make_mpi_communicator(options);
  if (how == "throw_on_last") return throw_on_last(*comm);
  if (how == "throw_everywhere") return throw_everywhere(*comm);
  if (how == "throw_agreed") return throw_agreed(*comm);
  if (how == "throw_foreign") return throw_foreign(*comm);
  if (how.starts_with("hang_in_reduction")) return hang_in_reduction(*comm);
  if (how == "hang_in_barrier") return hang_in_barrier(*comm);
  if (how == "stop_early") return stop_early(*comm);
  berth::fail(ExitCode::kUsage, "unknown way to end: ", how);
}

}  // namespace

int main(int, char** argv) {
  return berth::launch::run_ranks([&] { return run(argv[1]); });
}
