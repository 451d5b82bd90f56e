#include "launcher/ranks.h"

#include <iostream>

#include "data/check.h"
#include "launcher/device.h"
#include "launcher/logging.h"
#include "launcher/mpi_session.h"
#include "launcher/signals.h"
#include "launcher/start_watch.h"
#include "trainer/kernels/compute.h"

namespace berth::launch {
namespace {

std::unique_ptr<comm::Communicator> connect(const DeviceOptions& options, StartWatch& watch) {
  comm::CommOptions comm_options{.timeout_seconds = options.timeout};
  auto comm = comm::make_mpi_communicator(comm_options);
  watch.started();
  comm_options.gpu = choose_gpu(options.device, comm->local_rank(), comm->local_size(), train::visible_gpus());
  if (comm_options.gpu >= 0) comm = comm::make_nccl_communicator(std::move(comm), comm_options);
  train::set_compute_threads(options.threads > 0 ? options.threads : choose_threads(*comm));
  return comm;
}

}  // namespace

int on_all_ranks(const DeviceOptions& options, const std::string& log_level, const std::function<int(Rank&)>& work) {
  parse_log_level(log_level);
  check_range("--threads", options.threads, 0, 1024);
  check_usage(options.timeout > 0, "--ddp-timeout must be positive, got ", options.timeout);
  check_range("--ddp-timeout", options.timeout, 0, 1e9);
  StartWatch watch(options.timeout);
  const int code = run_ranks([&] {
    const auto comm = connect(options, watch);
    const auto console = std::make_shared<Console>();
    start_logging(console, log_level, comm->rank());
    if (comm->rank() == 0) BOOST_LOG_TRIVIAL(debug) << comm->description();
    Rank rank{*comm, console};
    return work(rank);
  });
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
