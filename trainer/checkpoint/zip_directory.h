// Where the stored (uncompressed) entries of a zip archive lie: what torch.save writes. Zip64 included. Format: PKWARE's
// APPNOTE.TXT.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "trainer/checkpoint/byte_source.h"

namespace berth::train {

struct ZipEntry {
  uint64_t begin = 0, size = 0;  // of its data, inside the file
};

// True if the bytes begin like a zip archive.
bool looks_like_zip(const ByteSource& bytes);

// By entry name. Throws Error(kBadInput) for compressed or encrypted entries, names used twice, and anything that is not inside
// the file.
std::map<std::string, ZipEntry> read_zip_directory(const ByteSource& bytes);

}  // namespace berth::train
