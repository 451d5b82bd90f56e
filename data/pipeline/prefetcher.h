// Reads and collates the next steps' batches while the current one is computed, on a thread of its own: the only one that touches
// HDF5.
//
//   Prefetcher prefetcher(*split, [&](int64_t step) -> std::optional<RankShare> {
//     if (step == last_step) return std::nullopt;
//     const std::vector<int64_t> samples = sampler.global_step(step);
//     …                                                      // their lengths
//     return deal(samples, lengths, ranks, micro_batch, max_tokens)[rank];
//   }, first_step);
//   while (const std::optional<StepData> data = prefetcher.next()) …
//
// To go to another step, make another Prefetcher: nothing is replayed.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "data/pipeline/sampler.h"
#include "data/samples/batch.h"
#include "data/store/dataset.h"

namespace berth::data {

// One rank's share of a step.
struct StepData {
  int64_t step = 0;
  std::vector<Batch> micro_batches;  // may be empty
};

class Prefetcher {
 public:
  // The share of a step, or nothing after the last one. Called on the prefetcher's thread, for first_step, first_step + 1, …
  using Plan = std::function<std::optional<RankShare>(int64_t step)>;

  // Called with each batch and its step, on the prefetcher's thread.
  using Finish = std::function<void(Batch& batch, int64_t step)>;

  // At most `depth` steps are held ready. `split`, and what `plan` and `finish` refer to, must outlive the prefetcher; nobody
  // else may read `split` meanwhile.
  Prefetcher(const Split& split, Plan plan, int64_t first_step = 0, int depth = 4, Finish finish = {});
  ~Prefetcher();  // ends the thread, dropping what it has read ahead
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  // The next step's data, in order; waits for it. Nothing after the last step. What the plan or the read threw comes out here, in
  // its step's turn.
  std::optional<StepData> next();

 private:
  void work(int64_t step);
  std::optional<StepData> load(int64_t step) const;

  const Split& split_;
  const Plan plan_;
  const Finish finish_;
  const size_t depth_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<StepData> ready_;
  std::exception_ptr error_;
  bool ended_ = false;  // nothing will be added to ready_
  bool stop_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace berth::data
