// What libtorch computes with in this process. This header compiles without libtorch.
#pragma once

#include <string>

namespace berth::train {

// Threads of each operation on the CPU.
void set_compute_threads(int threads);
// "libtorch 2.15.0, AVX512": version and best instruction set here.
std::string describe_libtorch();

}  // namespace berth::train
