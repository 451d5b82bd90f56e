// A stand-in for libtorch_cuda.so: every operator of the CUDA dispatch key is the CPU's, on the shadows of its tensors' memory. As strict as
// CUDA about tensors of different devices; what it reads and writes is checked for races. Precision, types that a GPU lacks and
// non-determinism are the CPU's.
#include <ATen/EmptyTensor.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/library.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "tests/standin/torch_tensors.h"

namespace berth::standin {
namespace {

// Operators whose result or its size the host needs, so that it waits for the device, by the bytes that come down.
const std::map<std::string, size_t> kWaits = {
    {"aten::_local_scalar_dense", 8}, {"aten::nonzero", 8},           {"aten::equal", 1},
    {"aten::masked_select", 8},       {"aten::_unique2", 8},          {"aten::unique_dim", 8},
    {"aten::unique_consecutive", 8},  {"aten::repeat_interleave", 8}, {"aten::bincount", 8},
    {"aten::_assert_async", 0},
};
// Operators whose indices may lie on the host.
const std::set<std::string> kIndexing = {"aten::index", "aten::index_put_", "aten::_index_put_impl_"};

class Call {
 public:
  Call(const c10::OperatorHandle& op, torch::jit::Stack& stack)
      : schema_(op.schema()),
        name_(schema_.operator_name().name),
        stack_(stack),
        first_(stack.size() - schema_.arguments().size()) {}

  void run(const c10::OperatorHandle& op);

 private:
  void look_at(const at::Tensor& tensor);
  at::Tensor given(const at::Tensor& tensor, bool written);
  at::Tensor returned(const at::Tensor& tensor, Launch& launch);
  template <class F>
  void for_tensors(const at::IValue& value, const F& f) const;
  bool waits() const { return (kWaits.contains(name_) && !size_given_) || masked_; }

  const c10::FunctionSchema& schema_;
  const std::string& name_;
  torch::jit::Stack& stack_;
  const size_t first_;  // argument in the stack
  std::optional<at::Device> device_;
  struct Pair {
    at::Tensor host, device;
    bool written;
  };
  std::vector<Pair> pairs_;
  bool size_given_ = false;  // of the result, to an operator that would have asked the device for it
  bool masked_ = false;      // an index is a mask, or comes from the host
};

template <class F>
void Call::for_tensors(const at::IValue& value, const F& f) const {
  if (value.isTensor()) {
    f(value.toTensor());
  } else if (value.isList()) {
    for (const at::IValue& element : value.toListRef()) {
      if (element.isTensor()) f(element.toTensor());
    }
  }
}

void Call::look_at(const at::Tensor& tensor) {
  if (!tensor.defined() || !tensor.is_cuda()) return;
  TORCH_CHECK(!device_ || *device_ == tensor.device(), name_,
              ": Expected all tensors to be on the same device, but found at least two devices, ", *device_, " and ",
              tensor.device());
  device_ = tensor.device();
}

// The tensor as the CPU's operator gets it.
at::Tensor Call::given(const at::Tensor& tensor, bool written) {
  if (!tensor.defined()) return tensor;
  const bool index = kIndexing.contains(name_);
  if (!tensor.is_cuda()) {
    TORCH_CHECK(tensor.dim() == 0 || index, name_,
                ": Expected all tensors to be on the same device, but found at least two devices, ", *device_, " and ",
                tensor.device());
    masked_ = masked_ || tensor.dim() > 0;
    return tensor;
  }
  masked_ = masked_ || (index && !pairs_.empty() && (tensor.scalar_type() == at::kBool || tensor.scalar_type() == at::kByte));
  // An output without elements may be given others.
  at::Tensor host = written && tensor.numel() == 0
                        ? at::empty(tensor.sizes(), tensor.options().device(at::kCPU).requires_grad(false))
                        : on_shadow(tensor);
  pairs_.push_back({host, tensor, written});
  return host;
}

// The CUDA tensor for what the CPU's operator returns.
at::Tensor Call::returned(const at::Tensor& tensor, Launch& launch) {
  if (!tensor.defined()) return tensor;
  for (const Pair& pair : pairs_) {
    if (pair.host.is_same(tensor)) return pair.device;
  }
  for (const Pair& pair : pairs_) {
    TORCH_CHECK(!tensor.has_storage() || !pair.host.storage().is_alias_of(tensor.storage()), name_,
                ": a view that the stand-in lacks");
  }
  at::Tensor result = at::detail::empty_strided_generic(tensor.sizes(), tensor.strides(), c10::cuda::CUDACachingAllocator::get(),
                                                        c10::DispatchKeySet(c10::DispatchKey::CUDA), tensor.scalar_type());
  launch.touches(writes(result));
  if (tensor.numel() > 0) memcpy(shadow(result.const_data_ptr()), tensor.const_data_ptr(), extent(tensor));
  return result;
}

void Call::run(const c10::OperatorHandle& op) {
  const auto& arguments = schema_.arguments();
  for (size_t i = 0; i < arguments.size(); ++i) for_tensors(stack_[first_ + i], [this](const at::Tensor& t) { look_at(t); });
  TORCH_CHECK(device_, name_, ": no CUDA tensor among the arguments");
  const c10::cuda::CUDAGuard guard(*device_);
  const cudaStream_t stream = stream_of(*device_);
  for (size_t i = 0; i < arguments.size(); ++i) {
    at::IValue& value = stack_[first_ + i];
    size_given_ = size_given_ || (arguments[i].name() == "output_size" && value.isInt());
    const bool written = arguments[i].alias_info() && arguments[i].alias_info()->isWrite();
    if (value.isTensor()) {
      value = given(value.toTensor(), written);
    } else if (value.isTensorList()) {
      std::vector<at::Tensor> tensors;
      for (const at::Tensor& tensor : value.toTensorVector()) tensors.push_back(given(tensor, written));
      value = tensors;
    } else if (value.isList() && arguments[i].type()->str().find("Tensor") != std::string::npos) {  // some of them absent
      c10::List<std::optional<at::Tensor>> tensors;
      for (const at::IValue& element : value.toListRef())
        tensors.push_back(element.isTensor() ? std::optional(given(element.toTensor(), written)) : std::nullopt);
      value = tensors;
    } else if (value.isDevice()) {
      value = at::Device(at::kCPU);
    } else if (arguments[i].type()->str().find("Generator") != std::string::npos) {
      value = host_generator(value.toOptional<at::Generator>(), *device_);
    }
  }

  {
    Launch launch(stream, name_);
    count("launches", name_);
    for (const Pair& pair : pairs_) launch.touches(pair.written ? writes(pair.device) : reads(pair.device));
    op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), &stack_);
    for (const Pair& pair : pairs_) {  // an output that has grown
      if (pair.host.sizes() == pair.device.sizes()) continue;
      pair.device.unsafeGetTensorImpl()->set_sizes_contiguous(pair.host.sizes());
      at::DataPtr memory = c10::cuda::CUDACachingAllocator::get()->allocate(pair.host.nbytes());
      pair.device.storage().unsafeGetStorageImpl()->set_data_ptr_noswap(std::move(memory));
      pair.device.storage().unsafeGetStorageImpl()->set_nbytes(pair.host.nbytes());
      launch.touches(writes(pair.device));
      memcpy(shadow(pair.device.const_data_ptr()), pair.host.contiguous().const_data_ptr(), pair.host.nbytes());
    }
    for (size_t i = stack_.size() - schema_.returns().size(); i < stack_.size(); ++i) {
      at::IValue& value = stack_[i];
      if (value.isTensor()) {
        value = returned(value.toTensor(), launch);
      } else if (value.isTensorList()) {
        std::vector<at::Tensor> tensors;
        for (const at::Tensor& tensor : value.toTensorVector()) tensors.push_back(returned(tensor, launch));
        value = tensors;
      }
    }
  }
  if (!waits()) return;
  synchronize(stream, name_);
  const auto it = kWaits.find(name_);
  count("bytes_down", name_, it == kWaits.end() ? 8 : static_cast<long>(it->second));
}

void run_on_shadows(const c10::OperatorHandle& op, c10::DispatchKeySet, torch::jit::Stack* stack) { Call(op, *stack).run(op); }

}  // namespace
}  // namespace berth::standin

TORCH_LIBRARY_IMPL(_, CUDA, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&berth::standin::run_on_shadows>());
}
// Where the CPU has a kernel, CUDA has one; the fallback alone would leave it to the dispatcher to take such an operator apart.
TORCH_LIBRARY_IMPL(aten, CUDA, library) {
  for (const c10::OperatorName& name : c10::Dispatcher::singleton().getAllOpNames()) {
    const auto op = c10::Dispatcher::singleton().findOp(name);
    const std::string full = c10::toString(name), prefix = "aten::";
    if (!full.starts_with(prefix) || !op || !op->hasKernelForDispatchKey(c10::DispatchKey::CPU)) continue;
    const std::string local = full.substr(prefix.size());
    if (std::ranges::count(berth::standin::kMemoryOperators, local) > 0) continue;
    library.impl(local.c_str(), torch::CppFunction::makeFromBoxedFunction<&berth::standin::run_on_shadows>());
  }
}
