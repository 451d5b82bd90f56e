// Where the floats of an HDF5 file lie, of one in the format of HDF5 1.6, which h5py and with it Keras write unless told otherwise.
// Read here and not by libhdf5, because it has no checksums and libhdf5 believes what it says: damaged files crash it
// (tests/fuzz/README.md). Format: The HDF Group, "HDF5 File Format Specification", version 1.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "trainer/checkpoint/byte_source.h"

namespace berth::train {

struct Hdf5Floats {
  std::span<const std::string> path;  // the groups that the dataset is in, from the root on, and its own name
  std::vector<int64_t> shape;         // what the file says
  uint64_t begin = 0;                 // byte of the file, as the file says
};

// Calls `found` for each dataset, of each group in the order of names. Throws Error(kBadInput), which begins with the file's name, for
// another format, links to elsewhere, groups without an end, and datasets of other than 32-bit little-endian floats in one piece of the
// file. Whether that piece is inside the file is the caller's to check.
void for_each_hdf5_floats(const ByteSource& bytes, const std::function<void(const Hdf5Floats&)>& found);

}  // namespace berth::train
