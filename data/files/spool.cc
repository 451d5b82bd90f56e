#include "data/files/spool.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "data/files/files.h"

namespace berth::data {
namespace {

namespace fs = std::filesystem;

constexpr int kTellEvery = 200;  // milliseconds without a byte

[[noreturn]] void fail_copy(const fs::path& pipe, const fs::path& folder) {
  fail(ExitCode::kInternal, pipe.string(), ": cannot be copied to ", folder.string(),
       " to be read twice (TMPDIR names another folder): ", std::strerror(errno));
}

fs::path temporary_folder() {
  std::error_code none;
  const fs::path folder = fs::temp_directory_path(none);
  return none ? "/tmp" : folder;
}

// Closes what it holds.
struct Descriptor {
  int fd;
  ~Descriptor() { ::close(fd); }
};

// Of a shell, `<(command)` or standard input: its writer is there already, or has gone. Others have a name that anyone may open.
bool is_anonymous(int fd) {
  std::error_code none;
  return fs::read_symlink(concat("/proc/self/fd/", fd), none).string().starts_with("pipe:");
}

}  // namespace

Spool::Spool(const fs::path& pipe, const std::function<void(uint64_t)>& tell) {
  // Without waiting in the kernel, where nothing could be told and nothing be given up.
  const Descriptor from{::open(pipe.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (from.fd < 0) fail_read(pipe, errno);
  std::string name = (temporary_folder() / "berth-pipe-XXXXXX").string();
  fd_ = ::mkostemp(name.data(), O_CLOEXEC);
  if (fd_ < 0) fail_copy(pipe, temporary_folder());
  ::unlink(name.c_str());
  try {
    copy(from.fd, pipe, tell);
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

Spool::~Spool() { ::close(fd_); }

fs::path Spool::path() const { return concat("/proc/self/fd/", fd_); }

void Spool::copy(int from, const fs::path& pipe, const std::function<void(uint64_t)>& tell) {
  std::vector<char> piece(size_t{1} << 20);
  uint64_t bytes = 0;
  for (bool begun = is_anonymous(from);;) {
    pollfd ready{.fd = from, .events = POLLIN, .revents = 0};
    ::poll(&ready, 1, kTellEvery);
    if (tell) tell(bytes);
    const ssize_t got = ::read(from, piece.data(), piece.size());
    begun |= got > 0 || (ready.revents & POLLHUP) != 0;  // without a writer a read ends at once, also before the first one came
    if (got == 0 && begun) return;
    if (got < 0 && errno != EINTR && errno != EAGAIN) fail_read(pipe, errno);
    if (got > 0) write(piece.data(), static_cast<size_t>(got), pipe);
    bytes += static_cast<uint64_t>(std::max<ssize_t>(got, 0));
  }
}

void Spool::write(const char* bytes, size_t size, const fs::path& pipe) {
  while (size > 0) {
    const ssize_t written = ::write(fd_, bytes, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail_copy(pipe, temporary_folder());
    bytes += written;
    size -= static_cast<size_t>(written);
  }
}

}  // namespace berth::data
