// A text file read in large blocks: lines and bytes for the readers, progress for the user. Memory does not grow with the file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>

namespace berth::data {

enum class TextEncoding { kUtf8, kLatin1 };

// A record longer than this is taken for a mistake (an unclosed quote, a binary file) rather than read into memory.
inline constexpr size_t kMaxRecordBytes = size_t{64} << 20;

// A file or folder to read, and what messages call it: the same, but for what was copied from a pipe.
struct Source {
  std::filesystem::path path, name;
  Source(std::filesystem::path file) : path(std::move(file)), name(path) {}  // NOLINT: a path is a source
  Source(std::filesystem::path file, std::filesystem::path called) : path(std::move(file)), name(std::move(called)) {}
};

class TextFile {
 public:
  // Skips a UTF-8 byte-order mark. Throws Error(kBadInput): no such file, a folder, not readable, empty, UTF-16, another format that is known
  // by how it begins.
  explicit TextFile(const Source& source);

  // The next byte, or -1 at the end of the file.
  int get() {
    if (at_ == end_ && !fill()) return -1;
    return static_cast<unsigned char>(buffer_[at_++]);
  }
  int peek() {
    if (at_ == end_ && !fill()) return -1;
    return static_cast<unsigned char>(buffer_[at_]);
  }
  // Appends what follows up to (not including) the first of `stop` or the end of the block, whichever comes first; false at the
  // end of the file.
  bool append_until(const bool (&stop)[256], std::string& out);
  // The next line without its LF or CRLF; false at the end of the file.
  bool next_line(std::string& line);

  const std::filesystem::path& path() const { return path_; }  // Source::name
  uint64_t bytes_read() const { return before_ + at_; }
  uint64_t bytes_total() const { return total_; }

 private:
  bool fill();

  std::filesystem::path path_;
  std::ifstream stream_;
  std::string buffer_;
  size_t at_ = 0, end_ = 0;
  uint64_t before_ = 0, total_ = 0;
};

// Makes `text` UTF-8: checks it or converts it from Latin-1. Throws Error(kBadInput).
void decode(TextEncoding encoding, std::string& text);

}  // namespace berth::data
