// Memory that the processes of one host share.
//
// A memfd, not MPI_Win_allocate_shared or /dev/shm: no size limit set by a container's small /dev/shm, no name that a crash
// leaves behind, and failure is an ordinary return value, so that ranks can agree on doing without.
#pragma once

#include <cstddef>
#include <cstdint>

namespace berth::comm {

// How another process finds a segment. pid 0: there is none. The mark, repeated at the segment's start, proves that it is the one
// meant: in another PID namespace the same numbers name something else.
struct SegmentAddress {
  int64_t pid = 0;
  int64_t fd = -1;
  uint64_t mark = 0;
};

// One mapping; the pages live until the last mapping and the creator's descriptor are gone. data() is aligned to 64 bytes.
class SharedSegment {
 public:
  SharedSegment() = default;
  ~SharedSegment();
  SharedSegment(SharedSegment&& other) noexcept;
  SharedSegment& operator=(SharedSegment&& other) noexcept;

  // Zeroed. data() is null if the system refuses.
  static SharedSegment create(size_t bytes);
  // Another process' segment; the same conditions. The creator must be alive and hold its segment.
  static SharedSegment open(SegmentAddress address, size_t bytes);

  std::byte* data() const { return base_ ? base_ + kHeader : nullptr; }
  SegmentAddress address() const;
  // Once everyone has opened it, the creator needs no descriptor.
  void close_descriptor();

 private:
  static constexpr size_t kHeader = 64;
  static SharedSegment map(int fd, size_t bytes);
  uint64_t& mark() const { return *reinterpret_cast<uint64_t*>(base_); }

  std::byte* base_ = nullptr;  // kHeader bytes, then the data
  size_t bytes_ = 0;           // of the mapping
  int fd_ = -1;
};

}  // namespace berth::comm
