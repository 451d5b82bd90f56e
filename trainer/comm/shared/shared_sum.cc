#include "trainer/comm/shared/shared_sum.h"

#include <algorithm>
#include <cstring>

namespace berth::comm {
namespace {

constexpr int64_t kChunk = 1 << 16;  // floats; small enough to share the work well, large enough to make the counters cheap
constexpr int64_t kBlock = 1 << 11;  // floats; stays in the first-level cache while being added up

// Sums of [begin, end) over all peers, into the first `targets` of them, as far as they are given them.
void sum_chunk(const SharedSum::Tensors& tensors, int64_t begin, int64_t end, size_t targets) {
  float total[kBlock];
  for (int64_t at = begin; at < end; at += kBlock) {
    const int64_t n = std::min(kBlock, end - at);
    std::memcpy(total, tensors.peers[0] + at, n * sizeof(float));
    for (size_t peer = 1; peer < tensors.peers.size(); ++peer) {
      const float* values = tensors.peers[peer] + at;
      for (int64_t i = 0; i < n; ++i) total[i] += values[i];
    }
    for (size_t peer = 0; peer < targets; ++peer) {
      int64_t from = at, to = at + n;
      if (!tensors.ends.empty() && targets > 1) {
        from = std::max(from, peer > 0 ? tensors.ends[peer - 1] : 0);
        to = std::min(to, tensors.ends[peer]);
      }
      if (from < to) std::memcpy(tensors.peers[peer] + from, total + (from - at), static_cast<size_t>(to - from) * sizeof(float));
    }
  }
}

template <class Condition>
void wait_until(const Condition& condition, const SharedSum::Pause& pause) {
  while (!condition()) pause();
}

}  // namespace

SharedSum::SharedSum(int rank, int size, std::byte* control)
    : rank_(rank), size_(size), counters_(reinterpret_cast<Counter*>(control)) {}

void SharedSum::announce(int64_t job) { announced(rank_).store(job + 1, std::memory_order_release); }

// Chunks are numbered through all jobs, so that one shared counter deals them out and one counts those done: this job's are
// [first, last). Nobody takes one before all of the job before are done. A rank that comes late may find that others did it all.
void SharedSum::sum(int64_t job, const Tensors& tensors, bool to_first_only, const Pause& pause) {
  for (int peer = 0; peer < size_; ++peer) {
    wait_until([&] { return announced(peer).load(std::memory_order_acquire) > job; }, pause);
  }
  const int64_t first = chunks_;
  const int64_t last = chunks_ += (tensors.elements + kChunk - 1) / kChunk;
  const size_t targets = to_first_only ? 1 : tensors.peers.size();
  auto& claimed = counter(kClaimed);
  auto& finished = counter(kFinished);
  for (int64_t chunk = claimed.load(); chunk < last;) {
    if (!claimed.compare_exchange_weak(chunk, chunk + 1)) continue;
    const int64_t begin = (chunk - first) * kChunk;
    sum_chunk(tensors, begin, std::min(begin + kChunk, tensors.elements), targets);
    finished.fetch_add(1, std::memory_order_acq_rel);
    chunk = claimed.load();
  }
  wait_until([&] { return finished.load(std::memory_order_acquire) >= last; }, pause);
}

void SharedSum::publish_result(int64_t job) { counter(kResult).store(job + 1, std::memory_order_release); }

void SharedSum::await_result(int64_t job, const Pause& pause) const {
  wait_until([&] { return counter(kResult).load(std::memory_order_acquire) > job; }, pause);
}

void SharedSum::confirm_fetched(int64_t job) { fetched(rank_).store(job + 1, std::memory_order_release); }

void SharedSum::await_all_fetched(int64_t job, const Pause& pause) const {
  for (int peer = 1; peer < size_; ++peer) {
    wait_until([&] { return fetched(peer).load(std::memory_order_acquire) > job; }, pause);
  }
}

}  // namespace berth::comm
