#include "data/files/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>
#include <vector>

#include "data/files/failpoint.h"
#include "data/files/unsynced.h"

namespace berth::data {
namespace {

namespace fs = std::filesystem;

constexpr size_t kReadPiece = size_t{1} << 20, kWritePiece = size_t{16} << 20;

[[noreturn]] void fail_io(ExitCode code, const fs::path& path, const char* what, int error) {
  fail(code, path.string(), ": cannot be ", what, ": ", std::strerror(error));
}

// A file being read from its start. Opened without waiting for a FIFO's writer.
class Input {
 public:
  explicit Input(const fs::path& path) : path_(path), fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    if (fd_ < 0) fail_read(path_, errno);
  }
  ~Input() { ::close(fd_); }
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;

  struct stat status() const {
    struct stat info {};
    if (::fstat(fd_, &info) != 0) fail_read(path_, errno);
    return info;
  }

  // Fills `out`; fewer bytes only at the file's end.
  size_t read(char* out, size_t size) const {
    if (const int error = failpoint("read")) fail_read(path_, error);
    size_t got = 0;
    while (got < size) {
      const ssize_t n = ::read(fd_, out + got, std::min(size - got, kReadPiece));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail_read(path_, errno);
      if (n == 0) break;
      got += static_cast<size_t>(n);
    }
    return got;
  }

 private:
  const fs::path& path_;
  int fd_;
};

// Writes the whole of `bytes`; 0, or the errno.
int write_all(int fd, std::string_view bytes) {
  const auto lock = lock_if_noted();
  const int injected = failpoint("write");
  if (injected > 0) return injected;
  if (injected != 0) bytes = bytes.substr(0, bytes.size() / 2);
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n < 0 ? errno : EIO;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  if (injected == kTornWrite) kill_self();
  return injected == kShortWrite ? ENOSPC : 0;
}

// A failpoint where nothing is written: 0, or an errno.
int injected_error(std::string_view name) {
  const int error = failpoint(name);
  return error == kShortWrite ? ENOSPC : error;
}

}  // namespace

void fail_read(const fs::path& path, int error) {
  constexpr int kNoFile[] = {ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG, EISDIR, ENXIO};
  if (std::find(std::begin(kNoFile), std::end(kNoFile), error) != std::end(kNoFile))
    fail_io(ExitCode::kBadInput, path, "read", error);
  throw ReadError(ExitCode::kBadInput, concat(path.string(), ": cannot be read: ", std::strerror(error)));
}

namespace {

void check_regular(const struct stat& info, const fs::path& path) {
  check(S_ISREG(info.st_mode), path.string(), ": is not a regular file");
}

}  // namespace

std::string read_file(const fs::path& path, uint64_t max_bytes, timespec* modified) {
  const Input in(path);
  const struct stat info = in.status();
  check_regular(info, path);
  const auto size = static_cast<uint64_t>(info.st_size);
  check(size <= max_bytes, path.string(), ": has ", size, " bytes, more than the ", max_bytes,
        " expected at most; is it the right file?");
  if (modified != nullptr) *modified = info.st_mtim;

  // To its end, not to its size: it may grow meanwhile, and those of /proc say 0.
  std::string bytes(size + 4096, '\0');
  size_t got = in.read(bytes.data(), bytes.size());
  while (got == bytes.size() && got <= max_bytes) {
    bytes.resize(2 * got);
    got += in.read(bytes.data() + got, bytes.size() - got);
  }
  check(got <= max_bytes, path.string(), ": grew to more than ", max_bytes, " bytes while it was read");
  check(got >= size, path.string(), ": ends at byte ", got, ", it got shorter while it was read");
  bytes.resize(got);
  return bytes;
}

std::string sha256_file(const fs::path& path) {
  const Input in(path);
  check_regular(in.status(), path);
  Sha256 digest;
  std::vector<char> piece(kReadPiece);
  while (const size_t n = in.read(piece.data(), piece.size())) digest.update({piece.data(), n});
  return digest.hex();
}

DurableFile::DurableFile(fs::path path, ExitCode failure) : path_(std::move(path)), failure_(failure) {
  std::error_code unknown;
  const fs::file_status there = fs::status(path_, unknown);
  if (fs::exists(there) && !fs::is_regular_file(there))
    fail(failure_, path_.string(), ": is there and not a regular file; it is not replaced");
  try {
    temporary_.emplace(path_);
  } catch (const std::system_error& error) {
    fail_to_be("written", error.code().value());
  }
}

void DurableFile::fail_to_be(const char* what, int error) const { fail_io(failure_, path_, what, error); }

void DurableFile::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, kWritePiece);
    if (const int error = write_all(temporary_->fd(), piece)) fail_to_be("written", error);
    sha256_.update(piece);
    size_ += piece.size();
    bytes.remove_prefix(piece.size());
  }
}

void DurableFile::finish() {
  const auto lock = lock_if_noted();
  if (const int error = injected_error("sync")) fail_to_be("written to disk", error);
  if (::fsync(temporary_->fd()) != 0) fail_to_be("written to disk", errno);
  note_file_sync(temporary());
  // Network file systems report a full quota on close; the file is then not to be trusted. The lock goes with the last descriptor.
  const int copy = ::dup(temporary_->fd());
  const int closed = copy < 0 ? -1 : ::close(copy), reason = closed == 0 ? injected_error("close") : errno;
  if (reason != 0) fail_to_be("closed", reason);
}

FileDigest DurableFile::commit() {
  finish();
  std::error_code error;
  rename_path(temporary(), path_, error);
  if (error) fail_to_be("renamed", error.value());
  return {path_.filename().string(), size_, sha256_.hex()};
}

FileDigest write_durably(const fs::path& path, std::string_view bytes) {
  DurableFile file(path);
  file.write(bytes);
  return file.commit();
}

void rename_path(const fs::path& from, const fs::path& to, std::error_code& error) {
  const auto lock = lock_if_noted();
  error = {injected_error("rename"), std::generic_category()};
  if (!error) error = rename_noted(from, to);
}

void rename_path(const fs::path& from, const fs::path& to) {
  std::error_code error;
  rename_path(from, to, error);
  if (error) throw fs::filesystem_error("cannot rename", from, to, error);
}

void make_folders(const fs::path& folder, ExitCode failure) {
  std::error_code error;
  if (folder.empty() || fs::is_directory(folder, error)) return;
  const fs::path parent = folder.parent_path();
  if (fs::exists(parent, error) && !fs::is_directory(parent, error)) fail_io(failure, folder, "made", ENOTDIR);
  make_folders(parent, failure);
  const auto lock = lock_if_noted();
  if (fs::create_directory(folder, error)) note_new_folder(folder);
  if (error) fail_io(failure, folder, "made", error.value());
  // One that may be written and not be read cannot be synced.
  if (::access(parent.empty() ? "." : parent.c_str(), R_OK) == 0) sync_folder(parent, failure);
}

void check_can_be_written(const fs::path& folder, ExitCode failure) {
  std::error_code error;
  fs::path there = folder.empty() ? "." : folder, missing;
  while (!fs::exists(there, error) && there.has_parent_path() && there.parent_path() != there) {
    missing = there;
    there = there.parent_path();
  }
  if (!fs::exists(there, error)) there = ".";
  if (!fs::is_directory(there, error)) fail_io(failure, missing.empty() ? there : missing, "made", ENOTDIR);
  // A file without a name, which leaves nothing behind; not every file system has such.
  const int fd = ::open(there.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
  int problem = fd >= 0 ? 0 : errno;
  if (fd >= 0) ::close(fd);
  if (problem == EOPNOTSUPP || problem == EISDIR || problem == ENOENT || problem == EINVAL)
    problem = ::access(there.c_str(), W_OK | X_OK) == 0 ? 0 : errno;
  if (problem != 0) fail_io(failure, missing.empty() ? there : missing, missing.empty() ? "written" : "made", problem);
}

void sync_folder(const fs::path& folder, ExitCode failure) {
  const auto lock = lock_if_noted();
  const fs::path named = folder.empty() ? "." : folder;
  const int fd = ::open(named.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail_io(failure, named, "synced", errno);
  const int injected = injected_error("sync"), result = injected == 0 ? ::fsync(fd) : -1,
            error = injected == 0 ? errno : injected;
  ::close(fd);
  // Some network file systems cannot sync a folder and need not.
  if (result != 0 && error != EINVAL && error != ENOTSUP) fail_io(failure, named, "synced", error);
  note_folder_sync(named);
}

AppendFile::AppendFile(const fs::path& path) : path_(path) {
  const auto lock = lock_if_noted();
  is_new_ = !fs::exists(path);
  fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (fd_ < 0) fail_io(ExitCode::kInternal, path_, "written", errno);
  note_open(path, is_new_);
}

AppendFile::~AppendFile() { ::close(fd_); }

void AppendFile::append(std::string_view bytes) {
  if (torn_at_ && ::ftruncate(fd_, *torn_at_) != 0) fail_io(ExitCode::kInternal, path_, "written", errno);
  torn_at_.reset();
  if (bytes.empty()) return;
  const off_t end = ::lseek(fd_, 0, SEEK_END);
  const int error = write_all(fd_, bytes);
  if (error == 0) return;
  if (::ftruncate(fd_, end) != 0) torn_at_ = end;
  fail_io(ExitCode::kInternal, path_, "written", error);
}

void AppendFile::sync() {
  const auto lock = lock_if_noted();
  const int injected = injected_error("sync");
  if (injected != 0 || ::fsync(fd_) != 0)
    fail_io(ExitCode::kInternal, path_, "written to disk", injected != 0 ? injected : errno);
  note_file_sync(path_);
  if (std::exchange(is_new_, false)) sync_folder(path_.parent_path());
}

}  // namespace berth::data
