// What libtorch computes with in this process. This header compiles without libtorch.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace berth::train {

// Threads of each operation on the CPU.
void set_compute_threads(int threads);
int compute_threads();
// Calls work(0) to work(count - 1), in this order, as many at a time as there are threads, each of which computes alone what its work needs: for
// what is too small to be computed by several. When work has thrown, none is begun any more; throws what the first of those threw.
void side_by_side(int64_t count, const std::function<void(int64_t)>& work);
// Whether this CPU multiplies bf16, and libtorch may let it (ATEN_CPU_CAPABILITY): else products of bf16 are faster in fp32.
bool cpu_multiplies_bf16();
// "libtorch 2.15.0, AVX512": version and best instruction set here.
std::string describe_libtorch();
// "2.15.0; CPU capability AVX512, MKL 2024.2, oneDNN 3.11.3": as the library that this process has tells.
std::string libtorch_details();
// berth's own: "generic, avx2, avx512 (in use)".
std::string describe_cpu_kernels();

}  // namespace berth::train
