#include "data/files/temporary.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "data/check.h"
#include "data/files/unsynced.h"

namespace berth::data {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail_with(int error, const fs::path& path) {
  throw std::system_error(error, std::generic_category(), path.string());
}

// 0, or why not: EAGAIN or EACCES where another has the lock.
int try_lock(int fd) {
  struct flock whole {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  return ::fcntl(fd, F_OFD_SETLK, &whole) == 0 ? 0 : errno;
}

bool is_taken(int error) { return error == EAGAIN || error == EACCES; }

// Whether `path` still is the file `fd`, and not another that got its name.
bool is_named(const fs::path& path, int fd) {
  struct stat named {
  }, own{};
  return ::lstat(path.c_str(), &named) == 0 && ::fstat(fd, &own) == 0 && named.st_dev == own.st_dev && named.st_ino == own.st_ino;
}

// The first of `path`'s temporary names for which `make` is true.
template <class Make>
fs::path first_free_name(const fs::path& path, const Make& make) {
  constexpr int kMostAttempts = 1000;
  for (int i = 1; i <= kMostAttempts; ++i) {
    fs::path name = path;
    name += concat(kTempMark, ::getpid(), i == 1 ? "" : concat("-", i));
    if (make(name)) return name;
  }
  fail_with(EEXIST, path);
}

void remove_waste_of(const fs::path& path) {
  const std::string prefix = concat(path.filename().string(), kTempMark);
  std::vector<fs::path> found;
  std::error_code ignored;
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  for (fs::directory_iterator entry(folder, ignored), end; !ignored && entry != end; entry.increment(ignored))
    if (entry->path().filename().string().starts_with(prefix)) found.push_back(entry->path());
  for (const fs::path& one : found) remove_if_waste(one);
}

}  // namespace

void remove_if_waste(const fs::path& temporary) {
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return;
  struct stat info {};
  // Its writer may have given it its name meanwhile, and another one have begun under this one.
  if (::fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && try_lock(fd) == 0 && is_named(temporary, fd))
    ::unlink(temporary.c_str());
  ::close(fd);
}

TemporaryFile::TemporaryFile(const fs::path& path) {
  remove_waste_of(path);
  path_ = first_free_name(path, [this](const fs::path& name) { return make(name); });
}

bool TemporaryFile::make(const fs::path& name) {
  const auto lock = lock_if_noted();
  fd_ = ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (fd_ < 0 && errno != EEXIST) fail_with(errno, name);
  if (fd_ < 0) return false;
  // Between the two calls it looked like waste.
  struct stat info {};
  const bool taken_for_waste = is_taken(try_lock(fd_)) || (::fstat(fd_, &info) == 0 && info.st_nlink == 0);
  if (taken_for_waste)
    ::close(std::exchange(fd_, -1));
  else
    note_open(name, true);
  return !taken_for_waste;
}

TemporaryFile::~TemporaryFile() {
  if (is_named(path_, fd_)) ::unlink(path_.c_str());
  ::close(fd_);
}

fs::path make_temporary_folder(const fs::path& path) {
  return first_free_name(path, [](const fs::path& name) {
    const auto lock = lock_if_noted();
    if (::mkdir(name.c_str(), 0777) == 0) {
      note_new_folder(name);
      return true;
    }
    if (errno != EEXIST) fail_with(errno, name);
    return false;
  });
}

}  // namespace berth::data
