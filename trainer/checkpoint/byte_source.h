// Random access to bytes that nobody vouches for: a file, or memory in tests and fuzzers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace berth::train {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  const std::string& name() const { return name_; }  // for messages
  uint64_t size() const { return size_; }

  // Fills `out` from `offset` on. Throws Error(kBadInput) if that is not within the source or cannot be read.
  void read(uint64_t offset, std::span<std::byte> out) const;
  // The same as a fresh string; `what` names the piece in messages. The size is checked before anything is allocated.
  std::string read_string(uint64_t offset, uint64_t size, const std::string& what) const;

 protected:
  ByteSource(std::string name, uint64_t size) : name_(std::move(name)), size_(size) {}
  virtual void do_read(uint64_t offset, std::span<std::byte> out) const = 0;

 private:
  std::string name_;
  uint64_t size_;
};

// Throws Error(kBadInput) if there is no such regular file or it cannot be read.
std::shared_ptr<const ByteSource> open_bytes(const std::filesystem::path& path);

// Little-endian unsigned integer of sizeof(T) bytes at `offset`, which the caller has checked to be inside.
template <class T>
T load_le(std::string_view bytes, size_t offset = 0) {
  uint64_t value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) value |= static_cast<uint64_t>(static_cast<unsigned char>(bytes[offset + i])) << (8 * i);
  return static_cast<T>(value);
}

}  // namespace berth::train
