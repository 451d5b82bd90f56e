// A stand-in for libtorch_cuda.so: tensors' memory, views and copies. The tensors themselves are libtorch's.
#include <ATen/EmptyTensor.h>
#include <ATen/core/CachingHostAllocator.h>
#include <ATen/native/TensorFactories.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/library.h>

#include <cstring>

#include "tests/standin/torch_tensors.h"

namespace berth::standin {

at::Tensor on_shadow(const at::Tensor& tensor) {
  return at::from_blob(shadow(tensor.const_data_ptr()), tensor.sizes(), tensor.strides(),
                       tensor.options().device(at::kCPU).requires_grad(false));
}

namespace {

// What nobody has written is NaN (memory.h), also where the allocator gives memory out again. In the order of the stream: what it holds may
// still read there.
at::Tensor fresh(at::Tensor tensor) {
  if (tensor.numel() == 0 || hollow()) return tensor;
  const Launch launch(stream_of(tensor.device()), "new tensor");
  memset(shadow(tensor.const_data_ptr()), 0xff, tensor.nbytes());
  return tensor;
}

c10::cuda::OptionalCUDAGuard on(std::optional<at::Device> device) {
  at::globalContext().lazyInitDevice(at::kCUDA);
  return c10::cuda::OptionalCUDAGuard(device && device->has_index() ? device : std::nullopt);
}

at::Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> type, std::optional<at::Layout>,
                 std::optional<at::Device> device, std::optional<bool> pinned, std::optional<at::MemoryFormat> format) {
  TORCH_CHECK(!pinned.value_or(false), "Only dense CPU tensors can be pinned");
  const auto guard = on(device);
  return fresh(at::detail::empty_generic(size, c10::cuda::CUDACachingAllocator::get(),
                                         c10::DispatchKeySet(c10::DispatchKey::CUDA), type.value_or(at::kFloat), format));
}

at::Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride, std::optional<at::ScalarType> type,
                         std::optional<at::Layout>, std::optional<at::Device> device, std::optional<bool> pinned) {
  TORCH_CHECK(!pinned.value_or(false), "Only dense CPU tensors can be pinned");
  const auto guard = on(device);
  return fresh(at::detail::empty_strided_generic(size, stride, c10::cuda::CUDACachingAllocator::get(),
                                                 c10::DispatchKeySet(c10::DispatchKey::CUDA), type.value_or(at::kFloat)));
}

// Both are dense in memory, in the same order.
bool is_plain_copy(const at::Tensor& to, const at::Tensor& from) {
  return to.scalar_type() == from.scalar_type() && to.sizes() == from.sizes() && to.is_non_overlapping_and_dense() &&
         to.strides() == from.strides() && to.is_neg() == from.is_neg() && to.is_conj() == from.is_conj();
}

at::Tensor& copy_(at::Tensor& to, const at::Tensor& given, bool non_blocking) {
  const at::Tensor from = given.expand_as(to);
  if (to.numel() == 0 || to.is_same(given)) return to;
  const at::Tensor& of_device = to.is_cuda() ? to : from;
  const c10::cuda::CUDAGuard guard(of_device.device());
  const cudaStream_t stream = stream_of(of_device.device());
  if (to.is_cuda() && from.is_cuda() && to.device() == from.device()) {
    if (is_plain_copy(to, from)) {
      C10_CUDA_CHECK(
          cudaMemcpyAsync(to.mutable_data_ptr(), from.const_data_ptr(), to.nbytes(), cudaMemcpyDeviceToDevice, stream));
      return to;
    }
    Launch launch(stream, "copy_");
    count("launches", "copy_");
    launch.touches(reads(from));
    launch.touches(writes(to));
    at::Tensor host = on_shadow(to);
    host.copy_(on_shadow(from));
    return to;
  }
  TORCH_CHECK(!to.is_cuda() || !from.is_cuda(), "the stand-in has no copies between devices");
  if (!is_plain_copy(to, from)) {  // as libtorch: converted by the side that it comes from, spread by the one that it goes to
    at::Tensor same = at::empty_like(to, at::MemoryFormat::Contiguous);
    copy_(same, from.to(to.scalar_type()).contiguous(), non_blocking && to.is_cuda());
    to.copy_(same);
    return to;
  }
  C10_CUDA_CHECK(cudaMemcpyAsync(to.mutable_data_ptr(), from.const_data_ptr(), to.nbytes(), cudaMemcpyDefault, stream));
  const at::Tensor& host = to.is_cuda() ? from : to;
  if (!non_blocking && (to.is_cuda() || to.is_pinned()))  // else it has waited already
    synchronize(stream, to.is_cuda() ? "copy_ to the device" : "copy_ to the host");
  if (non_blocking)
    at::getHostAllocator(at::kCUDA)->record_event(const_cast<void*>(host.const_data_ptr()),
                                                  host.storage().data_ptr().get_context(),
                                                  c10::cuda::getCurrentCUDAStream(of_device.device().index()).unwrap());
  return to;
}

const at::Tensor& resize_(const at::Tensor& tensor, at::IntArrayRef size, std::optional<at::MemoryFormat>) {
  if (tensor.sizes() == size) return tensor;
  auto* const impl = tensor.unsafeGetTensorImpl();
  impl->set_sizes_contiguous(size);
  const size_t held = tensor.storage().nbytes();
  const size_t needed = static_cast<size_t>(impl->storage_offset() + impl->numel()) * tensor.element_size();
  if (needed <= held) return tensor;
  const at::Tensor larger = at::empty({static_cast<int64_t>(needed)}, tensor.options().dtype(at::kByte));
  if (held > 0) {
    C10_CUDA_CHECK(cudaMemcpyAsync(larger.mutable_data_ptr(), tensor.storage().data(), held, cudaMemcpyDeviceToDevice,
                                   stream_of(tensor.device())));
  }
  at::Storage storage = larger.storage();
  tensor.storage().unsafeGetStorageImpl()->set_data_ptr_noswap(std::move(const_cast<at::DataPtr&>(storage.mutable_data_ptr())));
  tensor.storage().unsafeGetStorageImpl()->set_nbytes(needed);
  return tensor;
}

void record_stream(at::Tensor& tensor, at::Stream stream) {
  c10::cuda::CUDACachingAllocator::recordStream(tensor.storage().data_ptr(), c10::cuda::CUDAStream(stream));
}

}  // namespace
}  // namespace berth::standin

TORCH_LIBRARY_IMPL(aten, CUDA, library) {
  library.impl("empty.memory_format", TORCH_FN(berth::standin::empty));
  library.impl("empty_strided", TORCH_FN(berth::standin::empty_strided));
  library.impl("copy_", TORCH_FN(berth::standin::copy_));
  library.impl("resize_", TORCH_FN(berth::standin::resize_));
  library.impl("record_stream", TORCH_FN(berth::standin::record_stream));
  library.impl("as_strided", TORCH_FN(at::native::as_strided_tensorimpl));
  library.impl("view", TORCH_FN(at::native::view));
  library.impl("_reshape_alias", TORCH_FN(at::native::_reshape_alias));
  library.impl("unfold", TORCH_FN(at::native::unfold));
}
