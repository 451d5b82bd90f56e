// The entry of libberth_cuda.so.
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAFunctions.h>
#include <cuda_runtime_api.h>

#include <cstdio>

#include "data/check.h"
#include "trainer/comm/nccl/nccl_communicator.h"
#include "trainer/gpu/gpu_library.h"

namespace berth::gpu {
namespace {

int count(std::string& why) {
  int gpus = 0;
  const cudaError_t error = cudaGetDeviceCount(&gpus);
  if (error == cudaSuccess && gpus > 0) return gpus;
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  const auto version = [](int number) { return concat(number / 1000, ".", number % 1000 / 10); };
  if (driver == 0)
    why = "no NVIDIA driver is loaded on this host";
  else if (error == cudaErrorInsufficientDriver)
    why = concat("the NVIDIA driver is too old: it can do CUDA ", version(driver), ", berth was built with ", version(runtime));
  else
    why = error == cudaSuccess ? "CUDA sees none" : concat("CUDA says: ", cudaGetErrorString(error));
  return 0;
}

std::string pci_address(int gpu) {
  const cudaDeviceProp& properties = *at::cuda::getDeviceProperties(static_cast<c10::DeviceIndex>(gpu));
  char text[32];
  std::snprintf(text, sizeof text, "%04x:%02x:%02x.0", properties.pciDomainID, properties.pciBusID, properties.pciDeviceID);
  return text;
}

const Library library = {BERTH_VERSION, count, pci_address, comm::make_nccl_communicator};

}  // namespace
}  // namespace berth::gpu

extern "C" const berth::gpu::Library* berth_gpu_library() { return &berth::gpu::library; }
