#include "data/pipeline/prefetcher.h"

#include <algorithm>
#include <utility>

namespace berth::data {

Prefetcher::Prefetcher(const Split& split, Plan plan, int64_t first_step, int depth, Finish finish)
    : split_(split),
      plan_(std::move(plan)),
      finish_(std::move(finish)),
      depth_(static_cast<size_t>(std::max(1, depth))),
      thread_([this, first_step] { work(first_step); }) {}

Prefetcher::~Prefetcher() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::optional<StepData> Prefetcher::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !ready_.empty() || ended_; });
  if (ready_.empty()) {
    if (error_) std::rethrow_exception(error_);
    return std::nullopt;
  }
  StepData data = std::move(ready_.front());
  ready_.pop_front();
  lock.unlock();
  changed_.notify_all();
  return data;
}

void Prefetcher::work(int64_t step) {
  std::optional<StepData> data;
  std::exception_ptr error;
  for (;; ++step) {
    try {
      data = load(step);
    } catch (...) {
      data.reset();
      error = std::current_exception();
    }
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
    if (!data) return;
  }
}

std::optional<StepData> Prefetcher::load(int64_t step) const {
  const std::optional<RankShare> share = plan_(step);
  if (!share) return std::nullopt;
  StepData data{step, std::vector<Batch>(share->size())};
  for (size_t i = 0; i < share->size(); ++i) {
    split_.read((*share)[i], data.micro_batches[i]);
    if (finish_) finish_(data.micro_batches[i], step);
  }
  return data;
}

}  // namespace berth::data
