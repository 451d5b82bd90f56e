#include "launcher/ranks.h"

#include <cstdlib>
#include <iostream>

#include "data/check.h"
#include "data/files/failpoint.h"
#include "data/words.h"
#include "launcher/device.h"
#include "launcher/logging.h"
#include "launcher/mpi_session.h"
#include "launcher/placement.h"
#include "launcher/signals.h"
#include "launcher/start_watch.h"
#include "launcher/version.h"
#include "trainer/comm/agree.h"
#include "trainer/comm/mpi/mpi_group.h"
#include "trainer/gpu/gpu_library.h"
#include "trainer/kernels/compute.h"

namespace berth::launch {
namespace {

constexpr double kForever = 1e9;  // seconds

// Of all ranks, and of this one's group: null where there are no groups.
struct Communicators {
  std::unique_ptr<comm::Communicator> world, group;
  int visible_gpus = 0;  // the others as in Rank
  std::string gpu = {}, gpu_problem = {};
};

// The last thing of a rank.
struct Ending {
  StartWatch* watch;
  ~Ending() {
    if (watch) watch->ends();
  }
};

std::unique_ptr<comm::Communicator> make_group(comm::Communicator& world, const comm::CommOptions& options, int64_t ranks,
                                               bool alone) {
  comm::agree(world, [&] {
    check_usage(world.size() % ranks == 0, counted(world.size(), "rank"), " cannot be dealt out to groups of --ranks-per-trial ",
                ranks, ": start a multiple of it");
  });
  return alone ? comm::make_local_communicator() : comm::make_mpi_group(options, static_cast<int>(world.rank() / ranks));
}

// The GPUs that this process sees, in their order.
std::string addresses(const gpu::Library* library, int count) {
  std::string all;
  for (int gpu = 0; gpu < count; ++gpu) all += library->pci_address(gpu) + " ";
  return count == 0 ? "" : all + gpu::slice_of_gpu();
}

// `alone`: there is no MPI. `remark`: on rank 0, what there is to say of the ranks' cores once there is a log.
Communicators connect(const DeviceOptions& options, int64_t ranks_per_group, bool alone, StartWatch& watch, std::string& remark) {
  comm::CommOptions comm_options{.timeout_seconds = options.timeout};
  Communicators all;
  std::unique_ptr<comm::Communicator>& comm = all.world;
  comm = alone ? comm::make_local_communicator()
               : comm::make_mpi_communicator({.timeout_seconds = ranks_per_group > 0 ? kForever : options.timeout});
  watch.all_came();
  comm->set_stage("start: choosing devices");
  // Nothing of CUDA is loaded where there is no GPU to be used.
  VisibleGpus gpus;
  gpus.sign = gpu::sign_of_gpus();
  const gpu::Library* library = nullptr;
  if (options.device != "cpu" && (options.device != "auto" || !gpus.sign.empty()))
    library = gpu::load_library(version_number(), gpus.why);
  if (library) gpus.count = library->count(gpus.why);
  all.visible_gpus = gpus.count;
  try {
    const Place place = place_among(*comm, addresses(library, gpus.count));
    comm::agree(*comm, [&] { comm_options.gpu = choose_gpu(options.device, place, gpus); });
    if (comm_options.gpu >= 0) all.gpu = library->pci_address(comm_options.gpu);
    check_gpus(*comm, all.gpu, /*slices=*/ranks_per_group == 1);
  } catch (const comm::AgreedError& error) {
    if (!options.tolerant) throw;
    comm_options.gpu = -1;
    all.gpu_problem = error.what();
  }
  if (comm_options.gpu >= 0) {
    remark = place_beside_gpu(*comm, all.gpu);
  }
  train::set_compute_threads(options.threads > 0 ? options.threads : choose_threads(*comm));
  if (ranks_per_group > 0) all.group = make_group(*comm, comm_options, ranks_per_group, alone);
  std::unique_ptr<comm::Communicator>& computes = all.group ? all.group : all.world;
  computes->set_stage("start: connecting the GPUs");
  if (comm_options.gpu >= 0) computes = library->make_communicator(std::move(computes), comm_options);
  return all;
}

}  // namespace

int on_all_ranks(const DeviceOptions& options, const std::string& log_level, const std::function<int(Rank&)>& work,
                 int64_t ranks_per_group) {
  parse_log_level(log_level);
  check_range("--threads", options.threads, 0, 1024);
  check_usage(options.timeout > 0, "--ddp-timeout must be positive, got ", options.timeout);
  check_range("--ddp-timeout", options.timeout, 0, 1e9);
  gpu::set_environment();
  data::failpoint("start");
  StartWatch watch(options.timeout);
  const bool alone = started_alone(std::getenv);
  const auto on_this_rank = [&] {
    // Groups end when they are done, one long after the other.
    const Ending ending{ranks_per_group > 0 ? nullptr : &watch};
    std::string remark;
    const Communicators all = connect(options, ranks_per_group, alone, watch, remark);
    comm::Communicator& comm = all.group ? *all.group : *all.world;
    comm.set_stage("start");
    const auto console = std::make_shared<Console>();
    start_logging(console, log_level, comm.rank());
    if (comm.rank() == 0) BOOST_LOG_TRIVIAL(debug) << comm.description();
    if (!remark.empty()) BOOST_LOG_TRIVIAL(warning) << remark;
    Rank rank{comm, console, *all.world, all.visible_gpus, all.gpu, all.gpu_problem};
    return work(rank);
  };
  const int code = alone ? run_alone(on_this_rank) : run_ranks(on_this_rank);
  stop_logging();
  return code;
}

int end_stopped(const Rank& rank, const std::string& what) {
  int64_t signal = stop_signal();
  rank.comm.all_reduce_max(std::span<int64_t>(&signal, 1));
  if (rank.comm.rank() == 0) std::cerr << error_line(what) << std::flush;
  return static_cast<int>(128 + signal);
}

}  // namespace berth::launch
