// A thin layer over HDF5's serial C API: handles that close themselves, return codes that become Errors, and the few calls berth
// makes. HDF5 need not be thread-safe: one thread at a time may be in here, but for read_rows(), which several may call.
#pragma once

#include <hdf5.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace berth::data::h5 {

// Returns `code` (an id, count or status) unless it says failure. Then throws Error(kBadInput): `what` and the innermost reason
// HDF5 gives; data::ReadError (files.h) where the file system did not let it read, which may pass.
template <class Code>
Code ok(Code code, std::string_view what);
[[noreturn]] void fail_with_reason(std::string_view what);

// Owns one HDF5 id of any kind.
class Handle {
 public:
  Handle() = default;
  Handle(hid_t id, std::string_view what) : id_(ok(id, what)) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    return *this;
  }
  ~Handle() { close(); }
  operator hid_t() const { return id_; }
  // Gives back the id; false if HDF5 could not (a file that cannot be flushed).
  bool close() noexcept { return id_ < 0 || H5Idec_ref(std::exchange(id_, -1)) >= 0; }

 private:
  hid_t id_ = -1;
};

// A new file, in the place of one of that name, in the 1.10 format, without times.
Handle create_file(const std::filesystem::path& path);
// An existing file, read-only, without locks.
Handle open_file(const std::filesystem::path& path);
void flush(hid_t file);
Handle create_group(hid_t parent, const char* name);
Handle open_group(hid_t parent, const char* name);
bool has_link(hid_t parent, const char* name);

void write_attribute(hid_t object, const char* name, int64_t value);
void write_attribute(hid_t object, const char* name, const std::string& value);
void write_attribute(hid_t object, const char* name, const std::vector<std::string>& values);
bool has_attribute(hid_t object, const char* name);
// These throw if the attribute is missing or of another kind.
int64_t read_int(hid_t object, const char* name);
std::string read_string(hid_t object, const char* name);
std::vector<std::string> read_strings(hid_t object, const char* name);

// The HDF5 type that holds T in memory.
template <class T>
hid_t native_type();

// An extendible dataset [0, width] (or [0] if width == 0), with checksums, in chunks of chunk_rows numbers.
Handle create_dataset(hid_t parent, const char* name, hid_t type, uint64_t width, uint64_t chunk_rows);
// Appends `rows` rows at row `at`, which is where the dataset ends.
void append_rows(hid_t dataset, const char* name, hid_t memory_type, uint64_t at, uint64_t rows, const void* values);

// The shape of a dataset: [rows] (width 0) or [rows, width].
struct Shape {
  uint64_t rows = 0, width = 0;
};
// Opens a dataset and checks that it is made of integers or floats, that its values can lie in a file of `file_size` bytes and are
// stored there, and that no filter but the checksum makes more of them.
Handle open_dataset(hid_t parent, const char* name, uint64_t file_size, Shape& shape);
void read_rows(hid_t dataset, const char* name, hid_t memory_type, uint64_t at, uint64_t rows, void* values);

// ---- implementation ----

template <class Code>
Code ok(Code code, std::string_view what) {
  if (code < 0) fail_with_reason(what);
  return code;
}

template <>
inline hid_t native_type<int32_t>() {
  return H5T_NATIVE_INT32;
}
template <>
inline hid_t native_type<int64_t>() {
  return H5T_NATIVE_INT64;
}
template <>
inline hid_t native_type<uint8_t>() {
  return H5T_NATIVE_UINT8;
}
template <>
inline hid_t native_type<float>() {
  return H5T_NATIVE_FLOAT;
}

}  // namespace berth::data::h5
