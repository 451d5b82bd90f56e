// The memory of the devices. An allocation is mapped twice: at its device address, where nobody may touch it, and at its shadow, which
// only the stand-ins know. So a host that reads a device pointer ends with a sentence instead of a right result. What nobody wrote
// is full of 0xFF: NaN in every floating-point type, -1, true.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>

namespace berth::standin {

class Memory {
 public:
  static Memory& instance();

  struct Block {
    uintptr_t begin;
    size_t bytes;
    int device;
  };
  // Null if the device has less than that left. The first byte behind an allocation (its size rounded up to 256) is mapped nowhere.
  void* allocate(size_t bytes, int device);
  std::optional<Block> release(void* pointer);  // what it was; none: not what allocate returned
  std::optional<Block> find(const void* pointer);

  // Memory that grows in place: addresses without memory (null: none are left), and memory that is put there and taken away again, in whole
  // pages. Neighbours are one allocation to find().
  void* reserve(size_t bytes);
  bool take(size_t bytes, int device);  // from what the device has; false: it has less left
  void give_back(size_t bytes, int device);
  void map(uintptr_t at, size_t bytes, int device);
  bool unmap(uintptr_t at, size_t bytes);  // false: it is not all mapped

  // Page-locked host memory, which the device reads and writes while the host goes on.
  void* allocate_pinned(size_t bytes);
  bool release_pinned(void* pointer);
  bool is_pinned(const void* pointer);

  size_t used(int device);
  size_t peak(int device);
  size_t capacity(int device);

  // While one lives, every device address may be touched as the device's own kernels do.
  class Exposed {
   public:
    Exposed();
    ~Exposed();
    Exposed(const Exposed&) = delete;
  };

 private:
  Memory();
  void protect(int protection);
  // Pages of the file behind device addresses, full of what nobody wrote; and away with them.
  void put_pages(uintptr_t first, size_t bytes);
  void remove_pages(uintptr_t first, size_t bytes);

  std::mutex mutex_;
  int file_;  // holds the bytes of both mappings; offsets are those of device addresses
  uintptr_t top_;
  std::map<uintptr_t, Block> blocks_;
  std::map<uintptr_t, size_t> pinned_;
  std::map<int, size_t> used_, peak_;
  int exposed_ = 0;
};

inline constexpr size_t kGranularity = size_t{2} << 20;  // of memory that grows in place, as on today's GPUs
inline constexpr uintptr_t kDevices = 0x500000000000, kSize = uintptr_t{1} << 40, kShadow = uintptr_t{1} << 44;

// A device address, allocated or not.
inline bool is_device(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) - kDevices < kSize; }
// Where the host finds what is at a device address; other pointers stay as they are.
inline void* shadow(const void* pointer) {
  return reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(pointer) + (is_device(pointer) ? kShadow : 0));
}

}  // namespace berth::standin
