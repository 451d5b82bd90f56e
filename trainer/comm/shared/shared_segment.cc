#include "trainer/comm/shared/shared_segment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <random>
#include <string>
#include <utility>

namespace berth::comm {

SharedSegment::~SharedSegment() {
  if (base_) munmap(base_, bytes_);
  close_descriptor();
}

SharedSegment::SharedSegment(SharedSegment&& other) noexcept { *this = std::move(other); }

SharedSegment& SharedSegment::operator=(SharedSegment&& other) noexcept {
  std::swap(base_, other.base_);
  std::swap(bytes_, other.bytes_);
  std::swap(fd_, other.fd_);
  return *this;
}

SharedSegment SharedSegment::map(int fd, size_t bytes) {
  SharedSegment segment;
  segment.fd_ = fd;
  struct stat status {};
  if (fd < 0 || fstat(fd, &status) != 0 || status.st_size != static_cast<off_t>(bytes + kHeader)) return segment;
  void* base = mmap(nullptr, bytes + kHeader, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) return segment;
  segment.base_ = static_cast<std::byte*>(base);
  segment.bytes_ = bytes + kHeader;
  return segment;
}

SharedSegment SharedSegment::create(size_t bytes) {
  const int fd = memfd_create("berth", MFD_CLOEXEC);
  if (fd >= 0 && ftruncate(fd, static_cast<off_t>(bytes + kHeader)) != 0) {
    close(fd);
    return {};
  }
  SharedSegment segment = map(fd, bytes);
  std::random_device random;
  if (segment.base_) segment.mark() = (static_cast<uint64_t>(random()) << 32) | random();
  return segment;
}

SharedSegment SharedSegment::open(SegmentAddress address, size_t bytes) {
  if (address.pid == 0) return {};
  const std::string path = "/proc/" + std::to_string(address.pid) + "/fd/" + std::to_string(address.fd);
  SharedSegment segment = map(::open(path.c_str(), O_RDWR | O_CLOEXEC), bytes);
  segment.close_descriptor();
  if (segment.base_ && segment.mark() != address.mark) return {};
  return segment;
}

SegmentAddress SharedSegment::address() const {
  return base_ && fd_ >= 0 ? SegmentAddress{getpid(), fd_, mark()} : SegmentAddress{};
}

void SharedSegment::close_descriptor() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

}  // namespace berth::comm
