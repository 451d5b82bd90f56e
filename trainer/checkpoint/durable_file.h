// Files that are there whole, on disk, or not at all: written under a temporary name, synced, renamed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "data/files/sha256.h"

namespace berth::train {

// What was written, hashed on the way to the disk.
struct FileDigest {
  std::string name;  // without folder
  uint64_t size = 0;
  std::string sha256;
};

// Part of the temporary names; whatever carries it after a job has ended is waste.
inline constexpr std::string_view kTempMark = ".tmp-berth-";

class DurableFile {
 public:
  // Begins `path`, which may exist. Failures here and below throw Error(kInternal) with path and reason; the temporary file is
  // gone then.
  explicit DurableFile(std::filesystem::path path);
  ~DurableFile();
  DurableFile(const DurableFile&) = delete;
  DurableFile& operator=(const DurableFile&) = delete;

  void write(std::string_view bytes);
  // Syncs and gives the file its name. The name itself is on disk after sync_folder().
  FileDigest commit();

 private:
  std::filesystem::path path_, temporary_;
  int fd_ = -1;
  uint64_t size_ = 0;
  data::Sha256 sha256_;
};

FileDigest write_durably(const std::filesystem::path& path, std::string_view bytes);

// Makes creations, renames and removals in `folder` permanent. Throws Error(kInternal).
void sync_folder(const std::filesystem::path& folder);

}  // namespace berth::train
