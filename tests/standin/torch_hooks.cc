// A stand-in for libtorch_cuda.so: what ATen asks a device for, apart from operators. libc10_cuda (allocator, streams, guards) is the real one.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/CachingHostAllocator.h>
#include <ATen/cuda/CUDAContextLight.h>
#include <ATen/cuda/CUDAEvent.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/PeerToPeerAccess.h>

#include <map>
#include <mutex>

#include "tests/standin/torch_tensors.h"

namespace c10::cuda::_internal {
C10_CUDA_API void setHasPrimaryContext(bool (*function)(DeviceIndex));
}

namespace at::cuda {

cudaDeviceProp* getDeviceProperties(c10::DeviceIndex device) {
  static std::map<int, cudaDeviceProp> all;
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  const auto [it, fresh] = all.try_emplace(device);
  if (fresh) C10_CUDA_CHECK(cudaGetDeviceProperties(&it->second, device));
  return &it->second;
}
cudaDeviceProp* getCurrentDeviceProperties() { return getDeviceProperties(c10::cuda::current_device()); }
c10::Allocator* getCUDADeviceAllocator() { return c10::cuda::CUDACachingAllocator::get(); }

}  // namespace at::cuda

namespace berth::standin {
namespace {

// Draws what the CPU's generator draws: same seeds give the same numbers, as on a GPU, though not the GPU's numbers.
class DeviceGenerator final : public c10::GeneratorImpl {
 public:
  explicit DeviceGenerator(c10::DeviceIndex device)
      : GeneratorImpl(at::Device(at::kCUDA, device), c10::DispatchKeySet(c10::DispatchKey::CUDA)),
        host_(at::detail::createCPUGenerator()) {}
  void set_current_seed(uint64_t seed) override { host_.set_current_seed(seed); }
  void set_offset(uint64_t offset) override { host_.set_offset(offset); }
  uint64_t get_offset() const override { return host_.get_offset(); }
  uint64_t current_seed() const override { return host_.current_seed(); }
  uint64_t seed() override { return host_.seed(); }
  void set_state(const c10::TensorImpl& state) override { host_.unsafeGetGeneratorImpl()->set_state(state); }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override { return host_.unsafeGetGeneratorImpl()->get_state(); }
  at::Generator host_;

 private:
  DeviceGenerator* clone_impl() const override {
    auto* const copy = new DeviceGenerator(device_.index());
    copy->host_ = host_.clone();
    return copy;
  }
};

at::Generator& default_generator(c10::DeviceIndex device) {
  static std::map<c10::DeviceIndex, at::Generator> all;
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  const auto [it, fresh] = all.try_emplace(device);
  if (fresh) it->second = at::make_generator<DeviceGenerator>(device);
  return it->second;
}

// Pinned memory, given out again when the streams that a copy was recorded on are through with it.
struct PinnedMemory : at::CachingHostAllocatorImpl<c10::cuda::CUDAStream, at::cuda::CUDAEvent> {
  void allocate_host_memory(size_t bytes, void** pointer) override { C10_CUDA_CHECK(cudaHostAlloc(pointer, bytes, 0)); }
  void free_block(at::HostBlock<c10::cuda::CUDAStream>* block) override { C10_CUDA_CHECK(cudaFreeHost(block->ptr_)); }
  void record_stream(std::optional<std::vector<at::cuda::CUDAEvent>>& events, c10::cuda::CUDAStream stream) override {
    events->emplace_back();
    events->back().record(stream);
  }
  bool query_event(at::cuda::CUDAEvent& event) override { return ended(event.event()); }
  c10::cuda::CUDAStream get_current_stream() const override { return c10::cuda::getCurrentCUDAStream(); }
  bool stream_is_capturing(c10::cuda::CUDAStream) const override { return false; }
};
void free_pinned(void* block);
struct PinnedAllocator final : at::CachingHostAllocatorInterface<PinnedMemory, free_pinned> {};
PinnedAllocator& pinned_allocator() {
  static auto& allocator = *new PinnedAllocator;
  return allocator;
}
void free_pinned(void* block) { pinned_allocator().free(block); }

bool has_primary_context(c10::DeviceIndex device) { return device >= 0 && has_context(device); }

struct Registration {
  Registration() {
    c10::cuda::_internal::setHasPrimaryContext(has_primary_context);
    at::setHostAllocator(at::kCUDA, &pinned_allocator());
  }
} registration;

}  // namespace

at::Generator host_generator(const std::optional<at::Generator>& generator, at::Device device) {
  const at::Generator& given = generator && generator->defined() ? *generator : default_generator(device.index());
  auto* const of_device = dynamic_cast<DeviceGenerator*>(given.unsafeGetGeneratorImpl());
  TORCH_CHECK(of_device, "Expected a 'cuda' device type for generator but found '", given.device().type(), "'");
  return of_device->host_;
}

// Registered by name, hence its place in at.
struct Hooks final : at::CUDAHooksInterface {
  explicit Hooks(at::CUDAHooksArgs) {}
  void init() const override {
    const auto devices = c10::cuda::device_count_ensure_non_zero();
    c10::cuda::detail::init_p2p_access_cache(devices);
    c10::cuda::CUDACachingAllocator::init(devices);
  }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return deviceCount() > 0; }
  bool hasCUDA() const override { return deviceCount() > 0; }
  bool hasCUDART() const override { return true; }
  c10::DeviceIndex deviceCount() const override { return c10::cuda::device_count(); }
  int getNumGPUs() const override { return deviceCount(); }
  bool hasPrimaryContext(c10::DeviceIndex device) const override { return has_primary_context(device); }
  c10::DeviceIndex current_device() const override { return c10::cuda::current_device(); }
  c10::DeviceIndex getCurrentDevice() const override { return c10::cuda::current_device(); }
  void setCurrentDevice(c10::DeviceIndex device) const override { c10::cuda::set_device(device); }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex device) const override { return c10::cuda::ExchangeDevice(device); }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex device) const override { return c10::cuda::MaybeExchangeDevice(device); }
  void deviceSynchronize(c10::DeviceIndex) const override { c10::cuda::device_synchronize(); }
  long versionCUDART() const override { return CUDART_VERSION; }
  at::Allocator* getPinnedMemoryAllocator() const override { return &pinned_allocator(); }
  bool isPinnedPtr(const void* pointer) const override {
    cudaPointerAttributes attributes;
    return cudaPointerGetAttributes(&attributes, pointer) == cudaSuccess && attributes.type == cudaMemoryTypeHost;
  }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex device) const override {
    return default_generator(device < 0 ? c10::cuda::current_device() : device);
  }
  at::Generator getNewGenerator(c10::DeviceIndex device) const override {
    return at::make_generator<DeviceGenerator>(device < 0 ? c10::cuda::current_device() : device);
  }
  at::Device getDeviceFromPtr(void* pointer) const override {
    cudaPointerAttributes attributes;
    C10_CUDA_CHECK(cudaPointerGetAttributes(&attributes, pointer));
    return {at::kCUDA, static_cast<c10::DeviceIndex>(attributes.device)};
  }
};

}  // namespace berth::standin

namespace at {
C10_REGISTER_CLASS(CUDAHooksRegistry, CUDAHooks, ::berth::standin::Hooks)
}
