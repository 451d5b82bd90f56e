// A job that ends in the way its argument says, mostly badly. Run by CTest entries that look at mpiexec's exit code and output.
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>

#include "launcher/mpi_session.h"
#include "launcher/start_watch.h"
#include "trainer/comm/agree.h"
#include "trainer/comm/communicator.h"

namespace {

using berth::ExitCode;

constexpr int kSuspendedSeconds = 5;

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

// A child stops this process in a moment and lets it go on later, as Slurm's suspend does with all of a job.
void suspend() {
  const pid_t parent = getpid();
  if (fork() != 0) return;
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  kill(parent, SIGSTOP);
  std::this_thread::sleep_for(std::chrono::seconds(kSuspendedSeconds));
  kill(parent, SIGCONT);
  _exit(0);
}

// All ranks are stopped for longer than the timeout while they wait for one: nobody is missing.
int suspended(berth::comm::Communicator& comm) {
  at::Tensor gradients = comm.allocate(100);
  comm.barrier();
  suspend();
  const int last = comm.size() - 1;
  if (comm.rank() == last) std::this_thread::sleep_for(std::chrono::seconds(kSuspendedSeconds));  // stopped meanwhile, too
  comm.wait(comm.start_all_reduce(gradients));
  suspend();
  if (comm.rank() == 0) std::this_thread::sleep_for(std::chrono::seconds(kSuspendedSeconds));
  comm.barrier();
  if (comm.rank() == 0) std::cout << "went on" << std::endl;
  return 0;
}

int stop_early(berth::comm::Communicator& comm) {
  if (comm.rank() == 0) std::cout << "stopped at step 7" << std::endl;
  return static_cast<int>(ExitCode::kStoppedEarly);
}

int run(const std::string& how, berth::launch::StartWatch& watch) {
  berth::comm::CommOptions options;
  options.timeout_seconds = how == "suspended" ? 3 : 2;
  if (how.ends_with("_hosts")) options.ranks_per_host = 1;
  if (how.ends_with("_at_wait")) options.background = false;
  auto comm = berth::comm::make_mpi_communicator(options);
  watch.all_came();
  if (how == "throw_on_last") return throw_on_last(*comm);
  if (how == "throw_everywhere") return throw_everywhere(*comm);
  if (how == "throw_agreed") return throw_agreed(*comm);
  if (how == "throw_foreign") return throw_foreign(*comm);
  if (how.starts_with("hang_in_reduction")) return hang_in_reduction(*comm);
  if (how == "hang_in_barrier") return hang_in_barrier(*comm);
  if (how == "suspended") return suspended(*comm);
  if (how == "stopped_at_the_end") return 0;
  if (how == "stop_early") return stop_early(*comm);
  berth::fail(ExitCode::kUsage, "unknown way to end: ", how);
}

}  // namespace

int main(int, char** argv) {
  const std::string how = argv[1];
  const char* rank = std::getenv("OMPI_COMM_WORLD_RANK");
  const auto stop_last = [&](const char* at) {
    if (how == at && rank && std::string(rank) == "2") raise(SIGSTOP);
  };
  stop_last("stopped_before_mpi");
  berth::launch::StartWatch watch(how.starts_with("stopped_") ? 2 : 60);
  return berth::launch::run_ranks([&] {
    const int code = run(how, watch);
    watch.ends();
    stop_last("stopped_at_the_end");
    return code;
  });
}
