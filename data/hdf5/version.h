// Which HDF5 there is. This header compiles without it.
#pragma once

#include <string>

namespace berth::data::h5 {

// "1.10.8": of the library that this process has.
std::string library_version();

}  // namespace berth::data::h5
