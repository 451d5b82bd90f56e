// Sums tensors over the ranks of one host, in place, in memory that they share. No MPI.
//
// A tensor is cut into chunks, and whoever has time takes the next chunk, adds it up in rank order and stores the sum for all: so the
// result is bitwise the same everywhere and from run to run, no byte is copied that need not be, and a rank that waits works for
// those that still compute.
//
// Reductions ("jobs") are numbered from 0 and made in order, the same ones on all ranks. One thread calls announce(), one (maybe
// another) the rest.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace berth::comm {

class SharedSum {
 public:
  // Called while waiting; may throw to give up.
  using Pause = std::function<void()>;

  // A tensor of each rank, element for element alike; peers[rank of the host]. With `ends` rank r is given the sums of the elements from
  // ends[r - 1] (the first one from 0) up to ends[r] alone, without all.
  struct Tensors {
    std::vector<float*> peers;
    int64_t elements = 0;
    std::vector<int64_t> ends = {};
  };

  // `control`: control_bytes(size) bytes, zero at first, aligned to 64, that all ranks share. Must outlive it.
  SharedSum(int rank, int size, std::byte* control);
  static size_t control_bytes(int size) { return (kFixed + 2 * static_cast<size_t>(size)) * sizeof(Counter); }

  // This rank's part of job number `job` is in place and stays untouched until the job is over.
  void announce(int64_t job);
  // Returns once job is done: the sums are in every rank's tensor, as far as it is given them, or, if `to_first_only`, in that of rank 0 alone.
  void sum(int64_t job, const Tensors& tensors, bool to_first_only, const Pause& pause);

  // For what follows on several hosts: rank 0 has the final result; the other ranks have fetched it.
  void publish_result(int64_t job);
  void await_result(int64_t job, const Pause& pause) const;
  void confirm_fetched(int64_t job);
  void await_all_fetched(int64_t job, const Pause& pause) const;

 private:
  struct alignas(64) Counter {
    std::atomic<int64_t> value;
  };
  static_assert(std::atomic<int64_t>::is_always_lock_free);
  enum Fixed { kClaimed, kFinished, kResult, kFixed };

  std::atomic<int64_t>& counter(int index) const { return counters_[index].value; }
  std::atomic<int64_t>& announced(int rank) const { return counter(kFixed + rank); }
  std::atomic<int64_t>& fetched(int rank) const { return counter(kFixed + size_ + rank); }

  int rank_;
  int size_;
  Counter* counters_;
  int64_t chunks_ = 0;  // of all jobs so far
};

}  // namespace berth::comm
