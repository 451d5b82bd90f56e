#include "trainer/checkpoint/durable_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "data/check.h"
#include "trainer/checkpoint/failpoint.h"

namespace berth::train {
namespace {

constexpr size_t kPiece = size_t{16} << 20;

[[noreturn]] void fail_io(const std::filesystem::path& path, const char* what, int error) {
  fail(ExitCode::kInternal, path.string(), ": cannot be ", what, ": ", std::strerror(error));
}

}  // namespace

DurableFile::DurableFile(std::filesystem::path path) : path_(std::move(path)), temporary_(path_) {
  temporary_ += concat(kTempMark, ::getpid());
  fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (fd_ < 0) fail_io(path_, "written", errno);
}

DurableFile::~DurableFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
}

void DurableFile::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, kPiece);
    if (const int error = failpoint("write")) fail_io(path_, "written", error);
    const ssize_t n = ::write(fd_, piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_io(path_, "written", errno);
    sha256_.update(piece.substr(0, static_cast<size_t>(n)));
    size_ += static_cast<uint64_t>(n);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

FileDigest DurableFile::commit() {
  if (::fsync(fd_) != 0) fail_io(path_, "written to disk", errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail_io(path_, "renamed", errno);
  // Network file systems report a full quota on close; the file is then not to be trusted.
  const int closed = ::close(fd_);
  fd_ = -1;
  if (closed != 0) fail_io(path_, "closed", errno);
  return {path_.filename().string(), size_, sha256_.hex()};
}

FileDigest write_durably(const std::filesystem::path& path, std::string_view bytes) {
  DurableFile file(path);
  file.write(bytes);
  return file.commit();
}

void sync_folder(const std::filesystem::path& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail_io(folder, "synced", errno);
  const int result = ::fsync(fd), error = errno;
  ::close(fd);
  // Some network file systems cannot sync a folder and need not.
  if (result != 0 && error != EINVAL && error != ENOTSUP) fail_io(folder, "synced", error);
}

}  // namespace berth::train
