#pragma once

#include <string>

namespace berth::launch {

// "berth 0.1.0 (libtorch 2.15.0, Open MPI v4.1.4, HDF5 1.10.8, CPU)"
std::string version();

}  // namespace berth::launch
