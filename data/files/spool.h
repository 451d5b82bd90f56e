// What a pipe holds, for whoever must read it more than once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>

namespace berth::data {

// Copies `pipe`, to its end, into a file without a name in the folder for temporary files (TMPDIR), which is gone with this object.
class Spool {
 public:
  // Waits for the pipe's writer. `tell` is called with the bytes so far, at times also while nothing comes; it may throw. Throws
  // Error(kBadInput) if the pipe cannot be read, Error(kInternal) if the copy cannot be written.
  explicit Spool(const std::filesystem::path& pipe, const std::function<void(uint64_t)>& tell = {});
  ~Spool();
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;

  // Opens the copy at its start, any number of times.
  std::filesystem::path path() const;

 private:
  void copy(int from, const std::filesystem::path& pipe, const std::function<void(uint64_t)>& tell);
  void write(const char* bytes, size_t size, const std::filesystem::path& pipe);

  int fd_ = -1;
};

}  // namespace berth::data
