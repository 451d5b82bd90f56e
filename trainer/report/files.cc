#include "trainer/report/files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "data/check.h"

namespace berth::train {
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

AppendFile::AppendFile(const std::filesystem::path& path)
    : path_(path), fd_(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666)) {
  check_internal(fd_ >= 0, "cannot open ", path_.string(), " for writing: ", std::strerror(errno));
}

AppendFile::~AppendFile() { ::close(fd_); }

void AppendFile::append(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    check_internal(written > 0, "cannot write ", path_.string(), ": ", std::strerror(errno));
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

}  // namespace berth::train
