// Work on a stream by several threads with a result that does not depend on their number: items are produced one at a time,
// transformed in parallel, consumed one at a time in the order of production. At most one item per thread exists at any time.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace berth::data {

// `produce(item)` fills an item or returns false at the end; `transform(item)`; `consume(item)`. Produce and consume are each
// called by one thread at a time, though not always the same one. Items are reused. The first exception, in the order of the
// items, ends the work and is rethrown, as if one thread had done it all.
template <class Item, class Produce, class Transform, class Consume>
class Ordered {
 public:
  Ordered(Produce produce, Transform transform, Consume consume)
      : produce_(std::move(produce)), transform_(std::move(transform)), consume_(std::move(consume)) {}

  void run(int threads) {
    std::vector<std::thread> others;
    try {
      for (int i = 1; i < threads; ++i) others.emplace_back([this] { work(); });
    } catch (const std::exception&) {
      // The system gives no more of them: those that there are do the same work.
    }
    work();
    for (std::thread& other : others) other.join();
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void work() {
    Item item{};
    int64_t turn = 0;
    std::exception_ptr error;
    while (next(item, turn, error)) {
      attempt(error, [&] { transform_(item); });
      std::unique_lock lock(consuming_);
      consumed_.wait(lock, [&] { return next_consumed_ == turn || error_; });
      if (error_) return;
      attempt(error, [&] { consume_(item); });
      ++next_consumed_;
      error_ = error;
      consumed_.notify_all();
      if (error_) return;
    }
  }

  // False at the end. An error of produce is an item too, whose turn comes after those before it.
  bool next(Item& item, int64_t& turn, std::exception_ptr& error) {
    const std::lock_guard lock(producing_);
    if (ended_) return false;
    bool more = true;
    attempt(error, [&] { more = produce_(item); });
    ended_ = !more || error;
    turn = next_produced_++;
    return more;
  }

  template <class Action>
  static void attempt(std::exception_ptr& error, Action action) {
    if (error) return;
    try {
      action();
    } catch (...) {
      error = std::current_exception();
    }
  }

  Produce produce_;
  Transform transform_;
  Consume consume_;
  std::mutex producing_, consuming_;
  std::condition_variable consumed_;
  int64_t next_produced_ = 0, next_consumed_ = 0;
  bool ended_ = false;
  std::exception_ptr error_;
};

template <class Item, class Produce, class Transform, class Consume>
void run_ordered(int threads, Produce produce, Transform transform, Consume consume) {
  Ordered<Item, Produce, Transform, Consume>(std::move(produce), std::move(transform), std::move(consume)).run(threads);
}

}  // namespace berth::data
