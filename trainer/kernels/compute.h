// What libtorch computes with in this process. This header compiles without libtorch.
#pragma once

#include <string>

namespace berth::train {

// GPUs that this process may use; 0 also if this program was built without CUDA.
int visible_gpus();
// Threads of each operation on the CPU.
void set_compute_threads(int threads);
// "libtorch 2.15.0, AVX512, CUDA": version, best instruction set here, and whether it has CUDA.
std::string describe_libtorch();

}  // namespace berth::train
