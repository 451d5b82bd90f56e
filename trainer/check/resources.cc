#include "trainer/check/resources.h"

#include <algorithm>
#include <cmath>

#include "data/check.h"
#include "data/words.h"

namespace berth::preflight {
namespace {

constexpr double kSlow = 0.35;                 // of what a link can do: less is far below
constexpr double kSlowInHost = 0.5e9;          // bytes a second, between ranks of one host: memory moves ten times as much
constexpr double kSlowLatency = 1e-3;          // seconds, in one host
constexpr double kTight = 0.05;                // of what was needed
constexpr double kSafety = 1.5, kAtLeast = 1;  // as trainer/run/time_limit.cc keeps back for the last step and save

Finding warning(const std::string& name, const std::string& found, const std::string& remedy) {
  return {.level = Level::kWarning, .name = name, .found = found, .remedy = remedy};
}

Finding error(const std::string& name, const std::string& found, const std::string& remedy) {
  return {.level = Level::kError, .name = name, .found = found, .remedy = remedy};
}

}  // namespace

Finding judge_links(const LinkFacts& f) {
  constexpr const char* kName = "communicator";
  if (f.ranks == 1) return {.name = kName, .found = "one rank has nothing to tell others; " + f.transport};
  const int parts = f.hosts > 1 ? f.hosts : f.ranks;
  // What a ring sends over each link (nccl-tests' bus bandwidth).
  const double speed = 2.0 * (parts - 1) / parts * f.bytes / f.seconds;
  std::string found =
      concat("an all-reduce of ", bytes_in_words(f.bytes), " takes ", in_words(f.seconds), " (", bytes_in_words(speed),
             "/s between ", f.hosts > 1 ? "hosts" : "ranks", "), a short one ", in_words(f.latency));
  if (f.gradient_bytes > 0)
    found += concat(", the gradient's ", bytes_in_words(f.gradient_bytes), " about ",
                    in_words(f.latency + f.gradient_bytes * f.seconds / f.bytes));
  found += "; " + f.transport;
  if (!f.gpus && f.ranks > f.hosts && f.transport.find("no shared memory") != std::string::npos)
    return warning(kName, found,
                   "all ranks of a host in one container: they open each other's memory by way of /proc/<process>/fd");
  if (f.hosts == 1) {
    if (speed > kSlowInHost && f.latency < kSlowLatency) return {.name = kName, .found = found};
    return warning(kName, found,
                   f.gpus ? "is NCCL kept from peers or shared memory (NCCL_P2P_DISABLE, NCCL_SHM_DISABLE)?"
                          : "do the ranks have a core each, and do other jobs run there?");
  }
  if (!f.link)
    return {.level = Level::kUnknown,
            .name = kName,
            .found = concat(found, "; not known: what the link can do, for /sys/class/net and /sys/class/infiniband do not say")};
  if (speed >= kSlow * f.link->bandwidth)
    return {.name = kName, .found = concat(found, "; ", percent(speed / f.link->bandwidth), " of ", f.link->name)};
  return warning(
      kName,
      concat(found, "; that is ", percent(speed / f.link->bandwidth), " of the ", bytes_in_words(f.link->bandwidth), "/s of ",
             f.link->name),
      concat("another interface, or TCP in its place? ",
             f.gpus ? concat("NCCL_SOCKET_IFNAME, NCCL_IB_HCA=", f.link->name, "; NCCL_DEBUG=INFO says what NCCL takes")
                    : concat("an MPI with UCX (UCX_NET_DEVICES), or OMPI_MCA_btl_tcp_if_include=", f.link->name)));
}

std::optional<Finding> judge_loading(double shared, double own, int ranks, std::optional<int64_t> left, const std::string& host) {
  const double bytes = shared + own * ranks;
  if (!left || bytes <= static_cast<double>(*left)) return std::nullopt;
  return error("memory",
               concat("the model with gradients and moments takes ", bytes_in_words(bytes), " for ", counted(ranks, "rank"),
                      " on ", host, ", where ", bytes_in_words(static_cast<double>(*left)), " are free"),
               "fewer ranks a host, or more memory for the job (sbatch --mem)");
}

Finding judge_memory(const MemoryFacts& f) {
  constexpr const char* kName = "memory";
  const std::string what = f.gpu ? "GPU" : "host";
  if (!f.fits) return error(kName, concat("a micro-batch of ", f.micro_batch, " does not fit into the GPU's memory"), f.advice);
  std::string found =
      concat("at most ", bytes_in_words(f.peak), " a rank, measured with the largest micro-batch, ", f.micro_batch);
  if (!f.left) return unknown(kName, concat("how much is free; ", found));
  const auto left = static_cast<double>(*f.left);
  found += concat("; ", bytes_in_words(std::max(0.0, left)), " are left on ", f.least);
  if (!f.gpu && left < f.copy)
    return warning(kName,
                   concat(found, ", and each checkpoint is copied to ", bytes_in_words(f.copy), " of it before it is written"),
                   "more memory for the job (sbatch --mem), or fewer ranks on that host");
  if (left < kTight * f.peak)
    return warning(kName, found,
                   f.gpu ? "--auto-find-batch-size, or a smaller --per-device-train-batch-size with more "
                           "--gradient-accumulation-steps"
                         : "more memory for the job, or fewer ranks on that host");
  return {.name = kName, .found = found};
}

Finding judge_disk(const DiskFacts& f) {
  constexpr const char* kName = "disk";
  if (!f.left) return unknown(kName, concat("the file system of ", f.folder, " does not say what is free"));
  const auto left = static_cast<double>(*f.left);
  // One beside the one before it, and the final model.
  const auto least = static_cast<double>(std::min<int64_t>(f.checkpoints, 2)) * f.checkpoint + f.model;
  const double all = static_cast<double>(f.checkpoints) * f.checkpoint + f.model;
  const std::string found = concat(f.checkpoints == 0 ? "the final model takes "
                                                      : concat(counted(f.checkpoints, "checkpoint"), " of ",
                                                               bytes_in_words(f.checkpoint), " and the final model take "),
                                   bytes_in_words(all), ", ", bytes_in_words(left), " are free in ", f.folder);
  if (left < least) return error(kName, found, "another --output-dir, or --save-only-model");
  if (left < all)
    return warning(kName, found, f.keeps_all ? "--save-total-limit 2" : "a smaller --save-total-limit, or another --output-dir");
  return {.name = kName, .found = found};
}

Finding judge_time(const TimeFacts& f) {
  constexpr const char* kName = "time";
  const double steps = f.step * static_cast<double>(f.steps), evaluations = f.evaluation * static_cast<double>(f.evaluations);
  const double needed = steps + evaluations, all = f.start + needed + f.save;
  std::string found = concat("about ", in_words(all), ": ", counted(f.steps, "step"), " of ", in_words(f.step));
  if (f.evaluations > 0) found += concat(", ", counted(f.evaluations, "evaluation"), " of ", in_words(f.evaluation));
  if (!f.limit) return {.name = kName, .found = found + "; no time limit is known"};
  const double usable = *f.limit - f.start - kSafety * (f.step + f.save + (f.evaluations > 0 ? f.evaluation : 0)) - kAtLeast;
  found += concat("; the job has ", in_words(std::max(0.0, *f.limit)));
  if (all <= *f.limit && needed <= usable) return {.name = kName, .found = found + ": it fits"};
  if (usable < f.step)
    return error(kName, found + ": too little for one step and a checkpoint", "a longer job (sbatch --time, --max-time)");
  const auto jobs = static_cast<int64_t>(std::ceil(needed / usable));
  found += concat(": it stops by itself, with a checkpoint and exit code 75, and takes about ",
                  counted(std::max<int64_t>(2, jobs), "job"), " of that length");
  const bool saves = f.save_steps > 0 && static_cast<double>(f.save_steps) * f.step <= usable;
  if (!saves) found += "; no other checkpoint is written before, so a job that is killed loses all it has done";
  return warning(
      kName, found,
      saves ? "start the same command again each time, as slurm/finetune.sh does, or give it more time"
            : "fewer --save-steps, or --save-seconds 600; start the same command again each time, as slurm/finetune.sh does");
}

}  // namespace berth::preflight
