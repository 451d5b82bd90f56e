// Whether links, memory, disk and time suffice for a run, by what was measured.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "trainer/check/finding.h"
#include "trainer/check/host.h"

namespace berth::preflight {

struct LinkFacts {
  int ranks = 1, hosts = 1;
  bool gpus = false;
  double latency = 0;             // seconds: of the shortest all-reduce
  double bytes = 0, seconds = 0;  // of the longest
  double gradient_bytes = 0;      // that a step sums; 0: not known
  std::optional<Link> link = {};  // the slowest host's fastest one; unset: not known of some host
  std::string transport = {};     // Communicator::description()
};
Finding judge_links(const LinkFacts& facts);

struct MemoryFacts {
  bool gpu = false;
  std::string micro_batch = {};      // the largest: "16 samples with 2048 tokens"
  double peak = 0;                   // bytes: the most that a rank has needed, of its GPU or, on CPUs, of its host
  bool fits = true;                  // the micro-batch, on every rank
  std::string advice = {};           // if it does not
  std::optional<int64_t> left = {};  // of the host with the least, with all ranks at their peak; of a GPU: of the smallest
  std::string least = {};            // that host
  double copy = 0;                   // bytes that a checkpoint is copied to beside it
};
Finding judge_memory(const MemoryFacts& facts);
// Before a model is loaded: it takes `shared` bytes on a host and `own` more of each of so many ranks there, with gradients and moments, and the
// host has `left`. Nothing if it may be loaded.
std::optional<Finding> judge_loading(double shared, double own, int ranks, std::optional<int64_t> left, const std::string& host);

struct DiskFacts {
  std::string folder = {};
  double model = 0, checkpoint = 0;  // bytes
  int64_t checkpoints = 0;           // that will lie there at one time at most
  bool keeps_all = false;            // no --save-total-limit
  std::optional<int64_t> left = {};
};
Finding judge_disk(const DiskFacts& facts);

struct TimeFacts {
  double start = 0;                  // seconds: loading data and model
  double step = 0;                   //
  double evaluation = 0;             // of one
  double save = 0;                   // of a checkpoint
  int64_t steps = 0;                 // that are left
  int64_t evaluations = 0;           //
  int64_t save_steps = 0;            // until the first checkpoint; 0: there is none until the end
  std::optional<double> limit = {};  // of the job
};
Finding judge_time(const TimeFacts& facts);

}  // namespace berth::preflight
