// A file's bytes that are in no file.
#pragma once

#include <cstring>
#include <memory>
#include <string>

#include "trainer/checkpoint/byte_source.h"

namespace berth::train {

class MemoryBytes final : public ByteSource {
 public:
  MemoryBytes(std::string bytes, std::string name) : ByteSource(std::move(name), bytes.size()), bytes_(std::move(bytes)) {}

 private:
  void do_read(uint64_t offset, std::span<std::byte> out) const override {
    std::memcpy(out.data(), bytes_.data() + offset, out.size());
  }

  std::string bytes_;
};

inline std::shared_ptr<const ByteSource> memory_bytes(std::string bytes, std::string name) {
  return std::make_shared<MemoryBytes>(std::move(bytes), std::move(name));
}

}  // namespace berth::train
