#pragma once

#include <string>

namespace berth::launch {

std::string version_number();  // "0.1.0"
// "berth 0.1.0 (libtorch 2.15.0, AVX512)"
std::string version();
// Lines: the libraries that this process has and those that berth was built with, its compiler, kernels and GPU library. Starts neither
// MPI nor CUDA.
std::string version_details();

}  // namespace berth::launch
