// What the targets share. A target reads its input as one kind of file that people hand to berth. What cannot be used must end as
// Error(kBadInput), which main() turns into exit code 3; any other exception, what a sanitizer finds, and a require() that does
// not hold end the process: a finding.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "data/check.h"
#include "tests/support/temp_dir.h"

namespace berth::fuzz {

inline void require(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

// Calls `read`; false if it ended as bad input.
template <class Read>
bool reads(const Read& read) {
  try {
    read();
    return true;
  } catch (const std::exception& exception) {
    if (as_error(exception).code() != ExitCode::kBadInput) throw;
    return false;
  }
}

// Bytes as a file, for readers that want its path. Each time another one: HDF5 knows the files that it has open by their inode.
class InputFile {
 public:
  explicit InputFile(std::string_view bytes) {
    static const test::TempDir folder;
    static int made = 0;
    path_ = test::write_bytes(folder / std::to_string(made++), bytes);
  }
  ~InputFile() { ::unlink(path_.c_str()); }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline std::string_view text_of(const uint8_t* data, size_t size) { return {reinterpret_cast<const char*>(data), size}; }

// The input as several texts: exactly `count` of them, cut at NULs, which the last one may hold.
inline std::vector<std::string_view> parts(std::string_view input, size_t count) {
  std::vector<std::string_view> all;
  while (all.size() + 1 < count) {
    const size_t end = std::min(input.find('\0'), input.size());
    all.push_back(input.substr(0, end));
    input.remove_prefix(std::min(end + 1, input.size()));
  }
  all.push_back(input);
  return all;
}

}  // namespace berth::fuzz
