// Writing small files so that no reader ever sees half of one. Errors are Error(kBadInput) naming the file and the reason.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace berth::train {

// Writes `text` under a temporary name beside `path`, syncs it and renames it over `path`.
void replace_file(const std::filesystem::path& path, std::string_view text);

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
