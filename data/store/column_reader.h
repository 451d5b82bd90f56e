// One dataset of a file, as T in memory.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "data/files/files.h"
#include "data/hdf5/hdf5.h"

namespace berth::data {

template <class T>
class ColumnReader {
 public:
  ColumnReader(hid_t group, std::string name, uint64_t file_size)
      : name_(std::move(name)), dataset_(h5::open_dataset(group, name_.c_str(), file_size, shape_)) {}

  uint64_t rows() const { return shape_.rows; }
  uint64_t width() const { return shape_.width; }
  uint64_t bytes() const { return shape_.rows * std::max<uint64_t>(1, shape_.width) * sizeof(T); }

  void keep_in_memory() { cache_ = read(0, shape_.rows); }
  // The caller has checked that these rows are there.
  std::vector<T> read(uint64_t at, uint64_t rows) const {
    std::vector<T> values(rows * std::max<uint64_t>(1, shape_.width));
    if (cache_.empty())
      retried(kReadWaits, [&] { h5::read_rows(dataset_, name_.c_str(), h5::native_type<T>(), at, rows, values.data()); });
    else
      std::copy_n(cache_.begin() + static_cast<ptrdiff_t>(at * std::max<uint64_t>(1, shape_.width)), values.size(),
                  values.begin());
    return values;
  }

 private:
  std::string name_;
  h5::Shape shape_;
  h5::Handle dataset_;
  std::vector<T> cache_;
};

}  // namespace berth::data
