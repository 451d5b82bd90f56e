// What is being written stands under a temporary name: <name>.tmp-berth-<process>, with a further number where that is taken (in
// containers all processes may have the same number).
#pragma once

#include <filesystem>
#include <string_view>

namespace berth::data {

// Part of the temporary names.
inline constexpr std::string_view kTempMark = ".tmp-berth-";

// A new file that nobody else has, locked (fcntl(2), open file description locks) as long as this object lives: what a killed process
// left behind is not, which tells waste from work on all hosts that share the file system's locks.
class TemporaryFile {
 public:
  // To become `path`. Removes the waste of others who wrote `path`. Throws std::system_error.
  explicit TemporaryFile(const std::filesystem::path& path);
  // Removes the file, unless it has another name by now.
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  int fd() const { return fd_; }  // open for writing

 private:
  bool make(const std::filesystem::path& name);

  std::filesystem::path path_;
  int fd_ = -1;
};

// Makes an empty folder, to become `path` or to take its place while it is removed. Throws std::system_error.
std::filesystem::path make_temporary_folder(const std::filesystem::path& path);

// Removes a temporary file that nobody has locked. Where the file system knows no locks it stays.
void remove_if_waste(const std::filesystem::path& temporary);

}  // namespace berth::data
