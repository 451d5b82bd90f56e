// Memory that the ranks of a host share: segments (shared_segment.h) that all of them have opened.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "trainer/comm/shared/shared_segment.h"
#include "trainer/comm/shared/shared_sum.h"

namespace berth::comm {

// Both calls are collective over the ranks of the host.
class SharedMemory {
 public:
  // The bytes of each rank of the host, in rank order.
  using AllGather = std::function<std::vector<std::string>(const std::string&)>;

  // A tensor of each rank; the segments live as long as this.
  struct Allocation {
    std::vector<SharedSegment> segments;
    SharedSum::Tensors tensors;
  };

  SharedMemory(int rank, int size, AllGather all_gather) : rank_(rank), size_(size), all_gather_(std::move(all_gather)) {}

  // Rank 0's `bytes`, zero at first; data() is null on all ranks if one of them cannot share memory with the others.
  SharedSegment of_first_rank(size_t bytes) const;
  // Zeroed; throws Error(kInternal) on all ranks if one of them gets no memory.
  std::shared_ptr<Allocation> allocate(int64_t elements) const;

 private:
  std::vector<SharedSegment> share(size_t bytes, bool everyone) const;

  int rank_;
  int size_;
  AllGather all_gather_;
};

}  // namespace berth::comm
