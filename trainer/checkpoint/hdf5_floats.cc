#include "trainer/checkpoint/hdf5_floats.h"

#include <algorithm>
#include <optional>

#include "data/check.h"

namespace berth::train {
namespace {

constexpr std::string_view kSignature = "\x89HDF\r\n\x1a\n";
constexpr uint64_t kSuperblockSize = 96, kRootHeader = 64, kEndOfFile = 40;  // bytes, and where in it
constexpr uint64_t kHeaderPrefix = 16, kMessagePrefix = 8, kTreePrefix = 24, kTreeEntry = 16, kNodePrefix = 8, kNodeEntry = 40,
                   kHeapPrefix = 32;
constexpr uint64_t kUndefined = ~uint64_t{0};
constexpr uint32_t kSoftLink = 2;
constexpr size_t kMaxDepth = 32, kMaxLevel = 8, kMaxName = 255, kMaxRank = 32;
// Bytes of all that is read, and of names: a model of a thousand tensors has a few megabytes. So no reference can go round without end.
constexpr uint64_t kMaxMetadata = 64'000'000, kLeastPiece = 64;

enum Message : uint16_t { kSpace = 1, kType = 3, kExternal = 7, kLayout = 8, kContinuation = 16, kSymbolTable = 17 };

// IEEE 754 binary32, little-endian, of which the first byte's upper half is a version.
constexpr std::string_view kFloat32("\x01\x20\x1f\x00\x04\x00\x00\x00\x00\x00\x20\x00\x17\x08\x00\x17\x7f\x00\x00\x00", 20);

class Reader {
 public:
  Reader(const ByteSource& bytes, const std::function<void(const Hdf5Floats&)>& found) : bytes_(bytes), found_(found) {}

  void read() {
    const std::string block = piece(0, kSuperblockSize, "the superblock");
    check(block.starts_with(kSignature), file(), ": is no HDF5 file");
    const bool known = block[8] == 0 && block[13] == 8 && block[14] == 8 && load_le<uint64_t>(block, 24) == 0;
    check(known, file(),
          ": is HDF5 of another format than Keras writes (that of HDF5 1.6); convert it to safetensors with transformers");
    const auto end = load_le<uint64_t>(block, kEndOfFile);
    check(end <= bytes_.size(), file(), ": has ", bytes_.size(), " bytes, its superblock speaks of ", end, ": it is truncated");
    object(load_le<uint64_t>(block, kRootHeader));
  }

 private:
  const std::string& file() const { return bytes_.name(); }
  std::string_view name() const { return path_.empty() ? "/" : std::string_view(path_.back()); }
  [[noreturn]] void damaged(std::string_view part) const {
    fail(ExitCode::kBadInput, file(), ": ", part, " of '", name(), "' is damaged");
  }

  std::string piece(uint64_t offset, uint64_t size, const char* what) {
    spend(std::max(size, kLeastPiece));
    return bytes_.read_string(offset, size, what);
  }
  void spend(uint64_t bytes) {
    check(bytes <= left_, file(), ": describes its groups and datasets in more than ", kMaxMetadata, " bytes: it is damaged");
    left_ -= bytes;
  }

  // What berth wants of an object header's messages.
  struct Header {
    std::optional<std::string> space, type, layout, symbol_table;
    bool external = false;
  };

  Header header(uint64_t address) {
    const std::string prefix = piece(address, kHeaderPrefix, "an object header");
    if (prefix[0] != 1) damaged("the header");
    Header result;
    std::vector<std::pair<uint64_t, uint64_t>> blocks{{address + kHeaderPrefix, load_le<uint32_t>(prefix, 8)}};
    for (size_t b = 0; b < blocks.size(); ++b) {
      const std::string block = piece(blocks[b].first, blocks[b].second, "an object header's messages");
      for (std::string_view rest = block; rest.size() >= kMessagePrefix;) {
        const auto type = load_le<uint16_t>(rest), size = load_le<uint16_t>(rest, 2);
        if (size > rest.size() - kMessagePrefix) damaged("the header");
        const std::string body(rest.substr(kMessagePrefix, size));
        rest.remove_prefix(kMessagePrefix + size);
        if (type == kSpace) result.space = body;
        if (type == kType) result.type = body;
        if (type == kLayout) result.layout = body;
        if (type == kSymbolTable) result.symbol_table = body;
        if (type == kExternal) result.external = true;
        if (type == kContinuation && size < 16) damaged("the header");
        if (type == kContinuation) blocks.emplace_back(load_le<uint64_t>(body), load_le<uint64_t>(body, 8));
      }
    }
    return result;
  }

  void object(uint64_t address) {
    const Header found = header(address);
    if (found.symbol_table) return group(*found.symbol_table);
    check(found.layout && found.space && found.type, file(), ": '", name(),
          "' is neither a group nor a dataset as Keras writes them");
    dataset(found);
  }

  void group(const std::string& table) {
    check(path_.size() < kMaxDepth, file(), ": has more than ", kMaxDepth, " groups in each other");
    if (table.size() < 16) damaged("the symbol table");
    const std::string heap = piece(load_le<uint64_t>(table, 8), kHeapPrefix, "the names of a group");
    if (!heap.starts_with("HEAP")) damaged("the heap");
    tree(load_le<uint64_t>(table), std::nullopt, {load_le<uint64_t>(heap, 24), load_le<uint64_t>(heap, 8)});
  }

  struct Heap {
    uint64_t begin = 0, size = 0;
  };

  // A B-tree's node; all of its children are one level below it.
  void tree(uint64_t address, std::optional<uint8_t> expected_level, const Heap& names) {
    const std::string prefix = piece(address, kTreePrefix, "a group's tree");
    const auto level = static_cast<uint8_t>(prefix[5]);
    if (!prefix.starts_with(std::string_view("TREE\0", 5)) || level > kMaxLevel || (expected_level && level != *expected_level))
      damaged("the tree");
    const uint64_t count = load_le<uint16_t>(prefix, 6);
    const std::string entries = piece(address + kTreePrefix, count * kTreeEntry, "a group's tree");
    for (uint64_t i = 0; i < count; ++i) {
      const auto child = load_le<uint64_t>(entries, i * kTreeEntry + 8);
      if (level > 0)
        tree(child, static_cast<uint8_t>(level - 1), names);
      else
        node(child, names);
    }
  }

  void node(uint64_t address, const Heap& names) {
    const std::string prefix = piece(address, kNodePrefix, "a group's node");
    if (!prefix.starts_with("SNOD")) damaged("a node");
    const uint64_t count = load_le<uint16_t>(prefix, 6);
    const std::string entries = piece(address + kNodePrefix, count * kNodeEntry, "a group's node");
    for (uint64_t i = 0; i < count; ++i) {
      const std::string_view entry = std::string_view(entries).substr(i * kNodeEntry, kNodeEntry);
      path_.push_back(link_name(load_le<uint64_t>(entry), names));
      check(load_le<uint32_t>(entry, 16) != kSoftLink, file(), ": '", path_.back(), "' is a link to elsewhere");
      object(load_le<uint64_t>(entry, 8));
      path_.pop_back();
    }
  }

  std::string link_name(uint64_t offset, const Heap& names) {
    if (offset >= names.size || std::max(offset, names.begin) > bytes_.size()) damaged("a name");
    const std::string text = piece(names.begin + offset, std::min<uint64_t>(names.size - offset, kMaxName + 1), "a name");
    const size_t end = text.find('\0');
    if (end == std::string::npos || end == 0) damaged("a name");
    return text.substr(0, end);
  }

  void dataset(const Header& header) {
    const std::string& space = *header.space;
    const std::string& type = *header.type;
    const std::string& layout = *header.layout;
    const std::string where = file() + ": the dataset '" + path_.back() + "'";
    const bool floats =
        type.size() >= kFloat32.size() && (type[0] & 0x0f) == kFloat32[0] && type.substr(1).starts_with(kFloat32.substr(1));
    check(floats, where, " does not hold floats of 32 bits");
    const bool contiguous = layout.size() >= 18 && layout[0] == 3 && layout[1] == 1 && !header.external;
    check(contiguous, where, " does not lie in one piece of the file");
    // Version 1 has five reserved bytes, version 2 one that says whether there are any values.
    const bool first = space.size() >= 8 && space[0] == 1, second = space.size() >= 4 && space[0] == 2 && space[3] <= 1;
    const size_t begin = first ? 8 : 4, rank = space.size() >= 4 ? static_cast<uint8_t>(space[1]) : 0;
    check((first || second) && rank <= kMaxRank && space.size() >= begin + 8 * rank, where, " has a damaged shape");
    Hdf5Floats floats_found{path_, {}, load_le<uint64_t>(layout, 2)};
    for (size_t d = 0; d < rank; ++d) floats_found.shape.push_back(load_le<int64_t>(space, begin + 8 * d));
    check(floats_found.begin != kUndefined, file(), ": the values of the dataset '", path_.back(), "' are not in the file");
    for (const std::string& part : path_) spend(part.size());
    found_(floats_found);
  }

  const ByteSource& bytes_;
  const std::function<void(const Hdf5Floats&)>& found_;
  std::vector<std::string> path_;
  uint64_t left_ = kMaxMetadata;
};

}  // namespace

void for_each_hdf5_floats(const ByteSource& bytes, const std::function<void(const Hdf5Floats&)>& found) {
  Reader(bytes, found).read();
}

}  // namespace berth::train
