// libcudart.so.13 without a GPU: devices, memory, copies, streams and events. https://docs.nvidia.com/cuda/cuda-runtime-api/ says what each
// function must do, in particular "API synchronization behavior" of copies from and to pageable memory.
#include <cstdio>
#include <cstring>
#include <mutex>
#include <set>

#include "tests/standin/device.h"
#include "tests/standin/report.h"
#include "tests/standin/stream.h"

namespace berth::standin {
namespace {

thread_local int current = 0;
thread_local cudaError_t last_error = cudaSuccess;

cudaError_t failed(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

std::mutex mutex;  // guards contexts
auto& contexts = *new std::set<int>;

void synchronize_device(const char* name) {
  for (Stream* stream : Stream::all()) {
    if (stream->device() == current_device()) stream->synchronize();
  }
  Report::instance().count("synchronisations", name);
}

void copy(void* to, const void* from, size_t bytes, cudaStream_t handle) {
  Launch launch(handle, is_device(to) ? is_device(from) ? "copy on the device" : "copy to the device" : "copy to the host");
  launch.touches({from, bytes, false});
  launch.touches({to, bytes, true});
  Stream& stream = Stream::of(handle);
  const bool up = !is_device(from), down = !is_device(to), pinned = Memory::instance().is_pinned(up ? from : to);
  Report& report = Report::instance();
  report.count("copies", up ? pinned ? "up" : "up, pageable" : down ? pinned ? "down" : "down, pageable" : "on the device");
  if (up || down) report.count(up ? "bytes_up" : "bytes_down", pinned ? "pinned" : "pageable", static_cast<long>(bytes));
  if (up && pinned && !down)
    Order::instance().upload(stream, stream.operation, shadow(to), from, bytes);
  else if (down && pinned && !up)
    Order::instance().download(stream, stream.operation, to, shadow(from), bytes);
  else
    memmove(shadow(to), shadow(from), bytes);
}

}  // namespace

int device_count() {
  static const int n = static_cast<int>(setting("STANDIN_GPUS", 1));
  return n;
}
int current_device() { return current; }
void set_current_device(int device) { current = device; }
void use_device(int device) {
  const std::lock_guard lock(mutex);
  contexts.insert(device);
}
bool has_context(int device) {
  const std::lock_guard lock(mutex);
  return contexts.contains(device);
}

}  // namespace berth::standin

using namespace berth::standin;

extern "C" {

// ---- Devices

cudaError_t cudaGetDeviceCount(int* count) {
  *count = device_count();
  return failed(*count > 0 ? cudaSuccess : cudaErrorNoDevice);
}
cudaError_t cudaGetDevice(int* device) {
  *device = current_device();
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= device_count()) return failed(cudaErrorInvalidDevice);
  set_current_device(device);
  use_device(device);
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device < 0 || device >= device_count()) return failed(cudaErrorInvalidDevice);
  *properties = {};
  snprintf(properties->name, sizeof properties->name, "Stand-in GPU %d", device);
  const int place = static_cast<int>(setting("STANDIN_FIRST_GPU", 0)) + device;
  properties->uuid.bytes[0] = 42;
  properties->uuid.bytes[1] = static_cast<char>(place);
  properties->major = 9;
  properties->multiProcessorCount = 4;
  properties->warpSize = 32;
  properties->totalGlobalMem = Memory::instance().capacity(device);
  properties->maxThreadsPerBlock = 1024;
  properties->maxThreadsPerMultiProcessor = 2048;
  properties->sharedMemPerBlock = 48 << 10;
  properties->sharedMemPerBlockOptin = 227 << 10;
  properties->pciBusID = place + 1;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  cudaDeviceProp properties;
  const cudaError_t error = cudaGetDeviceProperties(&properties, device);
  if (error != cudaSuccess) return error;
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor:
      *value = properties.major;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = properties.minor;
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = properties.multiProcessorCount;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = static_cast<int>(properties.sharedMemPerBlock);
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(properties.sharedMemPerBlockOptin);
      break;
    default:
      *value = 0;
  }
  return cudaSuccess;
}
cudaError_t cudaDeviceGetPCIBusId(char* id, int bytes, int device) {
  if (device < 0 || device >= device_count()) return failed(cudaErrorInvalidDevice);
  snprintf(id, bytes, "0000:%02x:00.0", device + 1);
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  synchronize_device("cudaDeviceSynchronize");
  return cudaSuccess;
}

// ---- Errors

cudaError_t cudaGetLastError() {
  const cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}
cudaError_t cudaPeekAtLastError() { return last_error; }
const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorNotReady:
      return "device not ready";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorNotSupported:
      return "operation not supported by the stand-in for CUDA";
    default:
      return "an error of the stand-in for CUDA";
  }
}
const char* cudaGetErrorName(cudaError_t error) { return cudaGetErrorString(error); }

// ---- Memory

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  use_device(current_device());
  *pointer = Memory::instance().allocate(bytes, current_device());
  Report::instance().count("allocations", *pointer ? "cudaMalloc" : "cudaMalloc, refused");
  return failed(*pointer ? cudaSuccess : cudaErrorMemoryAllocation);
}
cudaError_t cudaFree(void* pointer) {
  if (!pointer) return cudaSuccess;
  synchronize_device("cudaFree");
  const auto block = Memory::instance().release(pointer);
  if (!block) return failed(cudaErrorInvalidValue);
  Order::instance().forget(block->begin, block->begin + block->bytes);
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *total = Memory::instance().capacity(current_device());
  *free = *total - Memory::instance().used(current_device());
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned) {
  *pointer = Memory::instance().allocate_pinned(bytes);
  Report::instance().count("allocations", "cudaHostAlloc");
  return failed(*pointer ? cudaSuccess : cudaErrorMemoryAllocation);
}
cudaError_t cudaMallocHost(void** pointer, size_t bytes) { return cudaHostAlloc(pointer, bytes, 0); }
cudaError_t cudaFreeHost(void* pointer) {
  synchronize_device("cudaFreeHost");
  return failed(!pointer || Memory::instance().release_pinned(pointer) ? cudaSuccess : cudaErrorInvalidValue);
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  *attributes = {};
  if (const auto block = Memory::instance().find(pointer)) {
    attributes->type = cudaMemoryTypeDevice;
    attributes->device = block->device;
    attributes->devicePointer = const_cast<void*>(pointer);
  } else if (Memory::instance().is_pinned(pointer)) {
    attributes->type = cudaMemoryTypeHost;
    attributes->device = current_device();
    attributes->hostPointer = const_cast<void*>(pointer);
  } else {
    attributes->type = cudaMemoryTypeUnregistered;
    attributes->device = -2;  // as CUDA's
  }
  return cudaSuccess;
}

// ---- Copies

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  copy(to, from, bytes, stream);
  if (!is_device(to) && !Memory::instance().is_pinned(to)) synchronize(stream, "cudaMemcpyAsync to pageable memory");
  return cudaSuccess;
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind) {
  copy(to, from, bytes, nullptr);
  synchronize(nullptr, "cudaMemcpy");
  return cudaSuccess;
}
cudaError_t cudaMemcpyPeerAsync(void* to, int, const void* from, int, size_t bytes, cudaStream_t stream) {
  return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream);
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  Launch launch(stream, "cudaMemsetAsync");
  launch.touches({to, bytes, true});
  Report::instance().count("launches", "cudaMemsetAsync");
  memset(shadow(to), value, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemset(void* to, int value, size_t bytes) { return cudaMemsetAsync(to, value, bytes, nullptr); }

// ---- Streams

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int) {
  use_device(current_device());
  *stream = Stream::make(current_device()).handle();
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return cudaStreamCreateWithPriority(stream, flags, 0);
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithPriority(stream, cudaStreamDefault, 0); }
cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  synchronize(stream, "cudaStreamSynchronize");
  return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t stream) { return Stream::of(stream).query() ? cudaSuccess : cudaErrorNotReady; }
cudaError_t cudaStreamGetDevice(cudaStream_t stream, int* device) {
  *device = Stream::of(stream).device();
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  Event::of(event).block(Stream::of(stream));
  return cudaSuccess;
}

// ---- Events

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  *event = (new Event(current_device(), !(flags & cudaEventDisableTiming)))->handle();
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }
cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }  // kept: a stream may still come to it
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  Event::of(event).record(Stream::of(stream));
  return cudaSuccess;
}
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned) { return cudaEventRecord(event, stream); }
cudaError_t cudaEventQuery(cudaEvent_t event) { return Event::of(event).query() ? cudaSuccess : cudaErrorNotReady; }
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  Report::instance().count("behind", "cudaEventSynchronize", static_cast<long>(Event::of(event).behind()));
  Event::of(event).synchronize();
  Report::instance().count("synchronisations", "cudaEventSynchronize");
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  if (!Event::of(begin).timed() || !Event::of(end).timed()) return failed(cudaErrorInvalidResourceHandle);
  if (!Event::of(begin).query() || !Event::of(end).query()) return failed(cudaErrorNotReady);
  *milliseconds = std::chrono::duration<float, std::milli>(Event::of(end).when() - Event::of(begin).when()).count();
  return cudaSuccess;
}

}  // extern "C"
