// Makes the kernels known to a program that links it: libtorch's current stream is where they run.
#include <c10/cuda/CUDAStream.h>

#include "trainer/kernels/gpu/optimizer.h"
#include "trainer/kernels/gpu/products.h"

namespace berth::train {
namespace {

cuda::Stream current_stream(at::Device device) { return c10::cuda::getCurrentCUDAStream(device.index()).stream(); }

const bool registered = [] {
  static const cuda::CublasLtKernels& kernels =
      *new cuda::CublasLtKernels(current_stream);  // never destroyed: CUDA may be gone by then
  register_kernels(at::kCUDA, kernels);
  static const cuda::CudaOptimizer optimizer(current_stream);
  register_optimizer_kernels(at::kCUDA, &optimizer);
  return true;
}();

}  // namespace
}  // namespace berth::train
