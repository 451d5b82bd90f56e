// A dataset that is written a chunk at a time.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "data/hdf5/hdf5.h"
#include "data/store/schema.h"

namespace berth::data {

// T is the type in memory; HDF5 converts to `stored`. Rows have `width` values, one each if it is 0.
template <class T>
class ColumnWriter {
 public:
  ColumnWriter(hid_t group, std::string name, hid_t stored, uint64_t width = 0)
      : name_(std::move(name)),
        width_(width),
        dataset_(h5::create_dataset(group, name_.c_str(), stored, width, schema::kChunkRows)) {}

  void append(std::span<const T> values) {
    buffer_.insert(buffer_.end(), values.begin(), values.end());
    if (buffer_.size() >= kFlushValues) flush(buffer_.size() / kFlushValues * kFlushValues);
  }
  void append(T value) { append(std::span<const T>(&value, 1)); }
  void finish() { flush(buffer_.size()); }

 private:
  static constexpr size_t kFlushValues = schema::kChunkRows * 16;

  void flush(size_t values) {
    const uint64_t width = std::max<uint64_t>(1, width_), rows = values / width;
    h5::append_rows(dataset_, name_.c_str(), h5::native_type<T>(), written_, rows, buffer_.data());
    written_ += rows;
    buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<ptrdiff_t>(rows * width));
  }

  std::string name_;
  uint64_t width_;
  h5::Handle dataset_;
  uint64_t written_ = 0;
  std::vector<T> buffer_;
};

}  // namespace berth::data
