// The optimizer's CUDA kernels on fibers, for tensors on the CPU: AdamW then does there what it does on a GPU.
#pragma once

#include "trainer/kernels/gpu/optimizer.h"

namespace berth::test {

// While it lives, each AdamW that is made takes them.
struct FiberOptimizer {
  FiberOptimizer() {
    static const train::cuda::CudaOptimizer kernels([](at::Device) -> train::cuda::Stream { return nullptr; });
    train::register_optimizer_kernels(at::kCPU, &kernels);
  }
  ~FiberOptimizer() { train::register_optimizer_kernels(at::kCPU, nullptr); }
  FiberOptimizer(const FiberOptimizer&) = delete;
  FiberOptimizer& operator=(const FiberOptimizer&) = delete;
};

}  // namespace berth::test
