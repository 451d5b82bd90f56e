#include "trainer/checkpoint/byte_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "data/check.h"
#include "data/files/failpoint.h"
#include "data/files/files.h"

namespace berth::train {
namespace {

// pread instead of mmap: a failing disk or a file cut short meanwhile is an error message then, not SIGBUS.
class FileBytes final : public ByteSource {
 public:
  FileBytes(std::string name, uint64_t size, int fd) : ByteSource(std::move(name), size), fd_(fd) {}
  ~FileBytes() override { ::close(fd_); }

 private:
  void do_read(uint64_t offset, std::span<std::byte> out) const override {
    if (const int error = data::failpoint("read")) data::fail_read(name(), error);
    while (!out.empty()) {
      const ssize_t n = ::pread(fd_, out.data(), std::min(out.size(), size_t{1} << 30), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) data::fail_read(name(), errno);
      check(n > 0, name(), ": ends at byte ", offset, ", it got shorter while it was read");
      out = out.subspan(static_cast<size_t>(n));
      offset += static_cast<uint64_t>(n);
    }
  }

  int fd_;
};

}  // namespace

void ByteSource::read(uint64_t offset, std::span<std::byte> out) const {
  check(offset <= size_ && out.size() <= size_ - offset, name_, ": needs ", out.size(), " bytes at byte ", offset,
        ", but the file has ", size_, ": it is truncated or damaged");
  if (!out.empty()) do_read(offset, out);
}

std::string ByteSource::read_string(uint64_t offset, uint64_t size, const std::string& what) const {
  check(offset <= size_ && size <= size_ - offset, name_, ": ", what, " takes ", size, " bytes at byte ", offset,
        ", but the file has ", size_, ": it is truncated or damaged");
  std::string bytes(size, '\0');
  if (size > 0) do_read(offset, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

std::shared_ptr<const ByteSource> open_bytes(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) data::fail_read(path, errno);
  struct stat info {};
  const bool regular = ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
  if (!regular) ::close(fd);
  check(regular, path.string(), ": is not a regular file");
  return std::make_shared<FileBytes>(path.string(), static_cast<uint64_t>(info.st_size), fd);
}

}  // namespace berth::train
