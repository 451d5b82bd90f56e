// The driver's functions, which libc10_cuda asks libcudart for by name: those with which it has memory grow in place (expandable segments),
// https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__VA.html; all others say that they are not there.
#include <cuda.h>
#include <cuda_runtime_api.h>

#include <map>
#include <string>

#include "tests/standin/device.h"
#include "tests/standin/memory.h"
#include "tests/standin/report.h"
#include "tests/standin/stream.h"

namespace berth::standin {
namespace {

struct Physical {
  size_t bytes;
  int device;
};
Physical* physical(CUmemGenericAllocationHandle handle) { return reinterpret_cast<Physical*>(handle); }

CUresult lacks() { return CUDA_ERROR_NOT_SUPPORTED; }

CUresult error_string(CUresult error, const char** text) {
  *text = error == CUDA_ERROR_OUT_OF_MEMORY ? "out of memory" : "an error of the stand-in for CUDA's driver";
  return CUDA_SUCCESS;
}

CUresult primary_context_state(CUdevice device, unsigned* flags, int* active) {
  *flags = 0;
  *active = has_context(device);
  return CUDA_SUCCESS;
}

CUresult device_get(CUdevice* device, int ordinal) {
  *device = ordinal;
  return CUDA_SUCCESS;
}

CUresult device_attribute(int* value, CUdevice_attribute, CUdevice) {
  *value = 0;  // neither fabric handles nor what else is asked for
  return CUDA_SUCCESS;
}

CUresult reserve(CUdeviceptr* address, size_t bytes, size_t, CUdeviceptr, unsigned long long) {
  *address = reinterpret_cast<CUdeviceptr>(Memory::instance().reserve(bytes));
  return *address ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult free_addresses(CUdeviceptr, size_t) { return CUDA_SUCCESS; }  // there are enough

CUresult create(CUmemGenericAllocationHandle* handle, size_t bytes, const CUmemAllocationProp* properties, unsigned long long) {
  const int device = properties->location.id;
  if (bytes % kGranularity != 0) return CUDA_ERROR_INVALID_VALUE;
  use_device(device);
  const bool enough = Memory::instance().take(bytes, device);
  Report::instance().count("allocations", enough ? "cuMemCreate" : "cuMemCreate, refused");
  if (!enough) return CUDA_ERROR_OUT_OF_MEMORY;
  *handle = reinterpret_cast<CUmemGenericAllocationHandle>(new Physical{bytes, device});
  return CUDA_SUCCESS;
}

CUresult release(CUmemGenericAllocationHandle handle) {
  const Physical was = *physical(handle);
  delete physical(handle);
  Memory::instance().give_back(was.bytes, was.device);
  return CUDA_SUCCESS;
}

CUresult map(CUdeviceptr at, size_t bytes, size_t offset, CUmemGenericAllocationHandle handle, unsigned long long) {
  if (offset != 0 || bytes != physical(handle)->bytes || Memory::instance().find(reinterpret_cast<void*>(at)))
    return CUDA_ERROR_INVALID_VALUE;
  Memory::instance().map(at, bytes, physical(handle)->device);
  return CUDA_SUCCESS;
}

CUresult unmap(CUdeviceptr at, size_t bytes) {
  if (!Memory::instance().unmap(at, bytes)) return CUDA_ERROR_INVALID_VALUE;
  Order::instance().forget(at, at + bytes);
  return CUDA_SUCCESS;
}

CUresult set_access(CUdeviceptr at, size_t bytes, const CUmemAccessDesc*, size_t) {
  const auto block = Memory::instance().find(reinterpret_cast<void*>(at));
  return block && at + bytes <= block->begin + block->bytes ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult granularity(size_t* bytes, const CUmemAllocationProp*, CUmemAllocationGranularity_flags) {
  *bytes = kGranularity;
  return CUDA_SUCCESS;
}

template <class Function>
void* address(Function* function) {
  return reinterpret_cast<void*>(function);
}

}  // namespace
}  // namespace berth::standin

extern "C" cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function, unsigned, unsigned long long,
                                                        cudaDriverEntryPointQueryResult* result) {
  using namespace berth::standin;
  static const std::map<std::string, void*> functions = {
      {"cuGetErrorString", address(error_string)},
      {"cuDevicePrimaryCtxGetState", address(primary_context_state)},
      {"cuDeviceGet", address(device_get)},
      {"cuDeviceGetAttribute", address(device_attribute)},
      {"cuMemAddressReserve", address(reserve)},
      {"cuMemAddressFree", address(free_addresses)},
      {"cuMemCreate", address(create)},
      {"cuMemRelease", address(release)},
      {"cuMemMap", address(map)},
      {"cuMemUnmap", address(unmap)},
      {"cuMemSetAccess", address(set_access)},
      {"cuMemGetAllocationGranularity", address(granularity)},
  };
  const auto it = functions.find(symbol);
  *function = it == functions.end() ? address(lacks) : it->second;
  if (result) *result = cudaDriverEntryPointSuccess;
  return cudaSuccess;
}
