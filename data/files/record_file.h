// A file of whole records that grows beside the work it tells of: a failure to write it never ends that work.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "data/files/files.h"

namespace berth::data {

// Records that cannot be written now wait in memory (up to a megabyte; what comes then is lost) and are written before the next one.
// What is wrong is told once, and once that it works again. Nothing throws.
class RecordFile {
 public:
  using Tell = std::function<void(const std::string&)>;

  // `open` makes the file ready and returns its path; it is called here, and before a record until it does not throw. `name` is what
  // people know the file by.
  RecordFile(std::filesystem::path name, std::function<std::filesystem::path()> open, Tell tell);
  // Tries once more, waits until all is on disk (network file systems report a full quota only then), and tells what is lost.
  ~RecordFile();
  RecordFile(const RecordFile&) = delete;
  RecordFile& operator=(const RecordFile&) = delete;

  // One record, with its end-of-line if it is a line.
  void append(std::string_view record);
  // All that could be written is on disk, or it is told that it may not be.
  void sync();

 private:
  bool write_waiting();

  std::filesystem::path name_;
  std::function<std::filesystem::path()> open_;
  Tell tell_;
  std::optional<AppendFile> file_;
  std::string waiting_;
  int64_t records_waiting_ = 0, records_lost_ = 0;
  std::string failure_;  // "": it works
};

}  // namespace berth::data
