// Rows of fp32 numbers, as many as come, in a file that NumPy or HDF5's readers open.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

namespace berth::data {

// By the name's ending: .npy, the array [rows, columns] in NumPy's format version 1.0 (https://numpy.org/neps/nep-0001-npy-format.html);
// .h5 or .hdf5, the data set "embeddings" [rows, columns] with checksums. The file is there whole or not at all. Errors name it:
// Error(kBadInput).
class MatrixFile {
 public:
  static bool is_name(const std::filesystem::path& path);
  // is_name(path); columns > 0.
  MatrixFile(const std::filesystem::path& path, int64_t columns);
  ~MatrixFile();

  void append(std::span<const float> row);
  void commit();

  class Format;

 private:
  std::unique_ptr<Format> format_;
};

}  // namespace berth::data
