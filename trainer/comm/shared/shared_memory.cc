#include "trainer/comm/shared/shared_memory.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "data/check.h"

namespace berth::comm {

// One segment per rank, or of rank 0 only, opened by all; empty if any rank could not.
std::vector<SharedSegment> SharedMemory::share(size_t bytes, bool everyone) const {
  std::vector<SharedSegment> segments(everyone ? size_ : 1);
  const bool owner = everyone || rank_ == 0;
  const size_t own = everyone ? rank_ : 0;
  if (owner) segments[own] = SharedSegment::create(bytes);
  const SegmentAddress address = owner ? segments[own].address() : SegmentAddress{};
  const auto addresses = all_gather_(std::string(reinterpret_cast<const char*>(&address), sizeof address));
  bool ok = true;
  for (size_t i = 0; i < segments.size(); ++i) {
    SegmentAddress peer;
    std::memcpy(&peer, addresses[i].data(), sizeof peer);
    if (!owner || i != own) segments[i] = SharedSegment::open(peer, bytes);
    ok = ok && segments[i].data();
  }
  for (const std::string& answer : all_gather_(ok ? "1" : "0")) ok = ok && answer == "1";
  if (!ok) return {};
  if (owner) segments[own].close_descriptor();
  return segments;
}

SharedSegment SharedMemory::of_first_rank(size_t bytes) const {
  std::vector<SharedSegment> segments = share(bytes, /*everyone=*/false);
  return segments.empty() ? SharedSegment() : std::move(segments[0]);
}

std::shared_ptr<SharedMemory::Allocation> SharedMemory::allocate(int64_t elements) const {
  auto allocation = std::make_shared<Allocation>();
  const size_t bytes = std::max<int64_t>(elements, 1) * sizeof(float);
  allocation->segments = share(bytes, /*everyone=*/true);
  check_internal(!allocation->segments.empty(), "cannot share ", bytes, " bytes of memory between the ranks of this host");
  allocation->tensors.elements = elements;
  for (const SharedSegment& segment : allocation->segments) {
    allocation->tensors.peers.push_back(reinterpret_cast<float*>(segment.data()));
  }
  std::memset(allocation->segments[rank_].data(), 0, bytes);  // the pages are made here, near the core that will use them
  return allocation;
}

}  // namespace berth::comm
