// Files of a run folder that are read whole or only grow (those that are replaced: checkpoint/durable_file.h). Errors name the
// file and the reason: Error(kBadInput) for reading, Error(kInternal) for writing.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace berth::train {

// The whole file. A file larger than `max_bytes` is refused.
std::string read_file(const std::filesystem::path& path, size_t max_bytes = size_t{1} << 30);

// A file that only grows. Each append is one write to the operating system: nothing stays in this process.
class AppendFile {
 public:
  explicit AppendFile(const std::filesystem::path& path);  // made if it is not there
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;
  void append(std::string_view bytes);

 private:
  std::filesystem::path path_;
  int fd_ = -1;
};

}  // namespace berth::train
