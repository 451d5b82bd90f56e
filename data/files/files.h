// Files as wholes: read at once, replaced at once, or grown at their end. Whatever berth reads whole or writes goes through here;
// streaming (readers/text_file.h) and reading piece by piece (trainer/checkpoint/byte_source.h) are matters of their own.
//
// Errors name the file and the reason: Error(kBadInput) for reading, Error(kInternal) for writing, but where the caller says
// otherwise (`failure`: kBadInput where the user chose the file).
#pragma once

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>

#include "data/check.h"
#include "data/files/sha256.h"
#include "data/files/temporary.h"

namespace berth::data {

// The file is there, but the system cannot read it now (EIO, ESTALE, EACCES, …): nothing is known about what it holds.
class ReadError : public Error {
 public:
  using Error::Error;
};
// Throws the error of a file that could not be opened or read: ReadError, or Error(kBadInput) where it is not there or no file.
[[noreturn]] void fail_read(const std::filesystem::path& path, int error);

// Between the attempts to read what cannot be read now: a server that restarts takes a while.
inline constexpr std::array kReadWaits{std::chrono::milliseconds(500), std::chrono::milliseconds(2000),
                                       std::chrono::milliseconds(8000)};
// What `action` returns; after a ReadError it is called again after each of the waits.
template <class Action>
auto retried(std::span<const std::chrono::milliseconds> waits, const Action& action) {
  for (const std::chrono::milliseconds wait : waits) {
    try {
      return action();
    } catch (const ReadError&) {
      std::this_thread::sleep_for(wait);
    }
  }
  return action();
}

// The whole of a regular file; nothing else is read, or waited for (a FIFO). A file of more than `max_bytes` is refused, and one
// that is cut short meanwhile. `modified`: receives when it was last written, in the file system's time.
std::string read_file(const std::filesystem::path& path, uint64_t max_bytes = uint64_t{1} << 30, timespec* modified = nullptr);

// SHA-256 (64 hex digits) of a regular file of any size.
std::string sha256_file(const std::filesystem::path& path);

// What was written, hashed on the way to the disk.
struct FileDigest {
  std::string name;  // without folder
  uint64_t size = 0;
  std::string sha256;
};

// A file that is there whole, on disk, or not at all: written under a temporary name (temporary.h), synced, closed, and only then
// renamed. Without commit(), or if that fails, the temporary file is removed and an older file of that name stays. What killed
// processes left of `path` is removed, too.
class DurableFile {
 public:
  // Begins `path`, where nothing but a regular file may stand (a device would be replaced). Errors, also of write() and commit(),
  // carry `failure`.
  explicit DurableFile(std::filesystem::path path, ExitCode failure = ExitCode::kInternal);

  // For a library that writes files by name: the temporary file, empty at first. To be closed there before commit().
  const std::filesystem::path& temporary() const { return temporary_->path(); }

  void write(std::string_view bytes);
  // The first half of commit(): all that was written is on disk, under the temporary name.
  void finish();
  // Gives the file its name; the name itself is on disk after sync_folder(). The digest is of what went through write(). Once.
  FileDigest commit();

 private:
  [[noreturn]] void fail_to_be(const char* what, int error) const;

  std::filesystem::path path_;
  ExitCode failure_;
  std::optional<TemporaryFile> temporary_;
  uint64_t size_ = 0;
  Sha256 sha256_;
};

FileDigest write_durably(const std::filesystem::path& path, std::string_view bytes);

// As std::filesystem::rename; on disk after sync_folder().
void rename_path(const std::filesystem::path& from, const std::filesystem::path& to);
void rename_path(const std::filesystem::path& from, const std::filesystem::path& to, std::error_code& error);
// Makes a folder, and those above it, on disk.
void make_folders(const std::filesystem::path& folder, ExitCode failure = ExitCode::kInternal);

// Throws what make_folders, or a file made in `folder`, would, as far as it can be known without making anything.
void check_can_be_written(const std::filesystem::path& folder, ExitCode failure = ExitCode::kInternal);

// Makes creations, renames and removals in `folder` (empty: the working folder) permanent.
void sync_folder(const std::filesystem::path& folder, ExitCode failure = ExitCode::kInternal);

// A file that only grows, by one writer. Each append is one write to the operating system: nothing stays in this process, and of
// one that fails nothing stays in the file.
class AppendFile {
 public:
  explicit AppendFile(const std::filesystem::path& path);  // made if it is not there
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;
  void append(std::string_view bytes);
  void sync();  // what was appended is on disk, and the file's name

 private:
  std::filesystem::path path_;
  int fd_ = -1;
  bool is_new_ = false;
  std::optional<off_t> torn_at_;  // where the file is to be cut before the next append
};

}  // namespace berth::data
