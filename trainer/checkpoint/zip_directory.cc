#include "trainer/checkpoint/zip_directory.h"

#include <algorithm>

#include "data/check.h"

namespace berth::train {
namespace {

constexpr uint32_t kLocalHeader = 0x04034b50, kCentralHeader = 0x02014b50, kEnd64 = 0x06064b50, kEnd64Locator = 0x07064b50;
constexpr uint64_t kLocalSize = 30, kCentralSize = 46, kEndSize = 22, kEnd64Size = 56, kLocatorSize = 20;
constexpr uint64_t kMaxDirectory = 64'000'000;

struct Directory {
  uint64_t begin = 0, size = 0, entries = 0;
};

// The end record is the last thing in the file but for a comment of up to 64 KiB.
Directory find_directory(const ByteSource& bytes) {
  const uint64_t tail_size = std::min<uint64_t>(bytes.size(), kEndSize + 0xFFFF);
  const uint64_t tail_begin = bytes.size() - tail_size;
  const std::string tail = bytes.read_string(tail_begin, tail_size, "the zip directory's end");
  const size_t at = tail.rfind(std::string("PK\5\6", 4));
  check(at != std::string::npos && tail.size() - at >= kEndSize, bytes.name(), ": has no zip directory: it is truncated");
  const uint64_t end = tail_begin + at;
  if (end >= kLocatorSize) {
    const std::string locator = bytes.read_string(end - kLocatorSize, kLocatorSize, "the zip64 locator");
    if (load_le<uint32_t>(locator) == kEnd64Locator) {
      const std::string end64 = bytes.read_string(load_le<uint64_t>(locator, 8), kEnd64Size, "the zip64 end record");
      check(load_le<uint32_t>(end64) == kEnd64, bytes.name(), ": its zip64 end record is damaged");
      return {load_le<uint64_t>(end64, 48), load_le<uint64_t>(end64, 40), load_le<uint64_t>(end64, 32)};
    }
  }
  return {load_le<uint32_t>(tail, at + 16), load_le<uint32_t>(tail, at + 12), load_le<uint16_t>(tail, at + 10)};
}

// One header of the central directory, its variable parts still to come.
struct Central {
  uint16_t flags, method, name_size, extra_size, comment_size;
  uint64_t compressed, size, local;
};

Central parse_central(std::string_view h) {
  return {load_le<uint16_t>(h, 8),  load_le<uint16_t>(h, 10), load_le<uint16_t>(h, 28), load_le<uint16_t>(h, 30),
          load_le<uint16_t>(h, 32), load_le<uint32_t>(h, 20), load_le<uint32_t>(h, 24), load_le<uint32_t>(h, 42)};
}

// Fields that did not fit 32 bits are in the extra field with id 1, in this order.
void apply_zip64(std::string_view extra, Central& entry, const std::string& where) {
  while (extra.size() >= 4) {
    const uint16_t id = load_le<uint16_t>(extra), size = load_le<uint16_t>(extra, 2);
    check(size <= extra.size() - 4, where, " has a damaged extra field");
    std::string_view field = extra.substr(4, size);
    extra.remove_prefix(4 + size);
    if (id != 1) continue;
    for (uint64_t* value : {&entry.size, &entry.compressed, &entry.local}) {
      if (*value != 0xFFFFFFFF) continue;
      check(field.size() >= 8, where, " has a damaged zip64 field");
      *value = load_le<uint64_t>(field);
      field.remove_prefix(8);
    }
  }
}

ZipEntry locate(const ByteSource& bytes, const Central& entry, const std::string& where) {
  check(entry.method == 0 && entry.compressed == entry.size, where, " is compressed; torch.save stores entries as they are");
  check((entry.flags & 1) == 0, where, " is encrypted");
  const std::string local = bytes.read_string(entry.local, kLocalSize, "the header of a zip entry");
  check(load_le<uint32_t>(local) == kLocalHeader, where, " does not begin where the directory says: the file is damaged");
  const uint64_t begin = entry.local + kLocalSize + load_le<uint16_t>(local, 26) + load_le<uint16_t>(local, 28);
  check(begin <= bytes.size() && entry.size <= bytes.size() - begin, where,
        " is not inside the file: it is truncated or damaged");
  return {begin, entry.size};
}

}  // namespace

bool looks_like_zip(const ByteSource& bytes) {
  return bytes.size() >= 4 && load_le<uint32_t>(bytes.read_string(0, 4, "the first bytes")) == kLocalHeader;
}

std::map<std::string, ZipEntry> read_zip_directory(const ByteSource& bytes) {
  const Directory directory = find_directory(bytes);
  check(directory.size <= kMaxDirectory, bytes.name(), ": claims a zip directory of ", directory.size, " bytes: it is damaged");
  const std::string text = bytes.read_string(directory.begin, directory.size, "the zip directory");
  std::string_view rest = text;
  std::map<std::string, ZipEntry> entries;
  for (uint64_t i = 0; i < directory.entries; ++i) {
    check(rest.size() >= kCentralSize && load_le<uint32_t>(rest) == kCentralHeader, bytes.name(), ": entry ", i,
          " of its zip directory is damaged");
    Central central = parse_central(rest);
    rest.remove_prefix(kCentralSize);
    const uint64_t variable = uint64_t{central.name_size} + central.extra_size + central.comment_size;
    check(variable <= rest.size(), bytes.name(), ": entry ", i, " of its zip directory is truncated");
    const std::string name(rest.substr(0, central.name_size));
    const std::string where = concat(bytes.name(), ": the entry ", name);
    apply_zip64(rest.substr(central.name_size, central.extra_size), central, where);
    check(entries.emplace(name, locate(bytes, central, where)).second, where, " is there twice");
    rest.remove_prefix(variable);
  }
  return entries;
}

}  // namespace berth::train
