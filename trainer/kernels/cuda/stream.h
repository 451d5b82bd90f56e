// What launchers are told where to run: a cudaStream_t, without CUDA's headers. Launchers return before the kernels have run, and throw
// an Error (kInternal) if CUDA refuses the launch. Compiled for the CPU (on_cpu.h), kernels have run when the launcher returns.
#pragma once

struct CUstream_st;

namespace berth::train::cuda {

using Stream = CUstream_st*;

}  // namespace berth::train::cuda
