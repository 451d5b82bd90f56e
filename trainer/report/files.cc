#include "trainer/report/files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "data/check.h"

namespace berth::train {
namespace {

void write_all(int fd, std::string_view bytes, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    check(written > 0, "cannot write ", path.string(), ": ", std::strerror(errno),
          "; is there space left and may you write there?");
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

int open_for_writing(const std::filesystem::path& path, int flags) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0666);
  check(fd >= 0, "cannot open ", path.string(), " for writing: ", std::strerror(errno));
  return fd;
}

// The rename is in the folder, so the folder is what makes it last.
void sync_folder(const std::filesystem::path& folder) {
  const int fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

}  // namespace

void replace_file(const std::filesystem::path& path, std::string_view text) {
  const std::filesystem::path temporary = path.string() + ".tmp";
  const int fd = open_for_writing(temporary, O_TRUNC);
  try {
    write_all(fd, text, temporary);
    check(::fsync(fd) == 0, "cannot write ", temporary.string(), ": ", std::strerror(errno));
  } catch (...) {
    ::close(fd);
    ::unlink(temporary.c_str());
    throw;
  }
  ::close(fd);
  check(::rename(temporary.c_str(), path.c_str()) == 0, "cannot rename ", temporary.string(), " to ", path.string(), ": ",
        std::strerror(errno));
  sync_folder(path.parent_path());
}

std::string read_file(const std::filesystem::path& path, size_t max_bytes) {
  std::ifstream in(path, std::ios::binary);
  check(in.good() && std::filesystem::is_regular_file(path), "cannot read ", path.string(), ": ", std::strerror(errno));
  const size_t size = std::filesystem::file_size(path);
  check(size <= max_bytes, path.string(), " has ", size, " bytes, more than the ", max_bytes,
        " expected at most; is it the right file?");
  std::ostringstream text;
  text << in.rdbuf();
  return std::move(text).str();
}

AppendFile::AppendFile(const std::filesystem::path& path) : path_(path), fd_(open_for_writing(path, O_APPEND)) {}

AppendFile::~AppendFile() { ::close(fd_); }

void AppendFile::append(std::string_view bytes) { write_all(fd_, bytes, path_); }

}  // namespace berth::train
