// Makes what the next steps need while the current one is computed, on a thread of its own.
//
//   Prefetcher<std::vector<Batch>> prefetcher([&](int64_t step) -> std::optional<std::vector<Batch>> {
//     if (step == last_step) return std::nullopt;
//     const std::vector<int64_t> samples = sampler.global_step(step);
//     …                                                      // their lengths
//     return read_batches(*split, deal(samples, lengths, ranks, micro_batch, max_tokens)[rank]);
//   }, first_step);
//   while (const std::optional<std::vector<Batch>> batches = prefetcher.next()) …
//
// To go to another step, make another Prefetcher: nothing is replayed.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "data/pipeline/sampler.h"
#include "data/samples/batch.h"
#include "data/store/dataset.h"

namespace berth::data {

// The micro-batches of a rank's share of a step. One thread at a time may read a split.
std::vector<Batch> read_batches(const Split& split, const RankShare& share);

template <class StepData>
class Prefetcher {
 public:
  // What a step needs, or nothing after the last one. Called on the prefetcher's thread, for first_step, first_step + 1, …
  using Make = std::function<std::optional<StepData>(int64_t step)>;

  // At most `depth` steps are held ready. What `make` refers to must outlive the prefetcher.
  explicit Prefetcher(Make make, int64_t first_step = 0, int depth = 4)
      : make_(std::move(make)),
        depth_(static_cast<size_t>(std::max(1, depth))),
        thread_([this, first_step] { work(first_step); }) {}
  // Ends the thread, dropping what it has made ahead.
  ~Prefetcher() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  // The next step's data, in order; waits for it. Nothing after the last step. What `make` threw comes out here, in its step's turn.
  std::optional<StepData> next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !ready_.empty() || ended_; });
    if (ready_.empty()) {
      if (error_) std::rethrow_exception(error_);
      return std::nullopt;
    }
    std::optional<StepData> data = std::move(ready_.front());
    ready_.pop_front();
    lock.unlock();
    changed_.notify_all();
    return data;
  }

 private:
  void work(int64_t step) {
    for (bool more = true; more; ++step) {
      std::optional<StepData> data;
      std::exception_ptr error;
      try {
        data = make_(step);
      } catch (...) {
        error = std::current_exception();
      }
      more = data.has_value();
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return ready_.size() < depth_ || stop_; });
      if (stop_) return;
      if (data) {
        ready_.push_back(std::move(*data));
      } else {
        error_ = error;
        ended_ = true;
      }
      lock.unlock();
      changed_.notify_all();
    }
  }

  const Make make_;
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
