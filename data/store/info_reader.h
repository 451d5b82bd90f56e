// What a data set's attributes say of it. They are distrusted as everything in the file.
#pragma once

#include "data/hdf5/hdf5.h"
#include "data/store/dataset.h"

namespace berth::data {

// Throws Error (kBadInput) if `file` is none of `berth prepare`'s, of a newer one, or says what cannot be.
DatasetInfo read_info(hid_t file);

}  // namespace berth::data
