// What nvcc's objects call when a program starts and when it launches a kernel. The stand-in has no processor for their code: programs that launch
// kernels are linked with others (own_kernels.cc), and where such an object comes along, it may start but not launch.
#include <cuda_runtime_api.h>

#include <map>
#include <mutex>
#include <string>

#include "tests/standin/fault.h"

namespace {

std::mutex mutex;
auto& names = *new std::map<const void*, std::string>;  // of kernels, by their host function

[[noreturn]] void launched(const void* function) {
  const std::lock_guard lock(mutex);
  const auto it = names.find(function);
  berth::standin::fault("a kernel for GPUs was launched, ", it == names.end() ? "?" : it->second,
                        ": run a program that is linked for the stand-ins");
}

}  // namespace

extern "C" {

void** __cudaRegisterFatBinary(void*) {
  static void* handle;
  return &handle;
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}
void __cudaRegisterFunction(void**, const char* function, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*, int*) {
  const std::lock_guard lock(mutex);
  names[function] = name;
}
unsigned __cudaPushCallConfiguration(dim3, dim3, size_t, cudaStream_t) { return 0; }
cudaError_t __cudaPopCallConfiguration(dim3*, dim3*, size_t*, void*) { return cudaSuccess; }
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* function) {
  *kernel = reinterpret_cast<cudaKernel_t>(const_cast<void*>(function));
  return cudaSuccess;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3, dim3, void**, size_t, cudaStream_t) { launched(kernel); }
cudaError_t cudaLaunchKernel(const void* function, dim3, dim3, void**, size_t, cudaStream_t) { launched(function); }
cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) { return cudaSuccess; }

}  // extern "C"
