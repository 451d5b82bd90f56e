#include "trainer/kernels/gpu/optimizer.h"

#include "data/check.h"
#include "trainer/kernels/cuda/adamw.h"

namespace berth::train::cuda {
namespace {

using kernels::StepScalars;

void check_array(const at::Tensor& tensor, int64_t n, at::ScalarType type, const char* what) {
  check_internal(tensor.is_contiguous() && tensor.numel() == n && tensor.scalar_type() == type, what, ": ", tensor.numel(),
                 " elements of type ", c10::toString(tensor.scalar_type()), ", contiguous or not, where ", n, " of ",
                 c10::toString(type), " are due");
}

// For vector access.
void check_aligned(const at::Tensor& tensor) {
  check_internal(reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) % 16 == 0, "a tensor for the optimizer is not aligned");
}

StepScalars* scalars_in(const at::Tensor& tensor) {
  check_internal(tensor.is_contiguous() && tensor.nbytes() == sizeof(StepScalars), "a step's scalars of ", tensor.nbytes(),
                 " bytes");
  return static_cast<StepScalars*>(tensor.mutable_data_ptr());
}

template <class T>
AdamWBucket<T> pointers(const OptimizerKernels::Bucket& bucket) {
  const int64_t n = bucket.values.numel();
  for (const at::Tensor* array : {&bucket.values, &bucket.grads, &bucket.first, &bucket.second})
    check_array(*array, n, at::kFloat, "a bucket"), check_aligned(*array);
  check_array(bucket.flags, (n + bucket.group - 1) / bucket.group, at::kByte, "flags");
  if (bucket.copy.defined()) check_array(bucket.copy, n, bucket.copy.scalar_type(), "a compute copy"), check_aligned(bucket.copy);
  return {bucket.values.mutable_data_ptr<float>(),
          bucket.grads.const_data_ptr<float>(),
          bucket.first.mutable_data_ptr<float>(),
          bucket.second.mutable_data_ptr<float>(),
          bucket.copy.defined() ? static_cast<T*>(bucket.copy.mutable_data_ptr()) : nullptr,
          n,
          bucket.flags.const_data_ptr<uint8_t>(),
          bucket.group};
}

}  // namespace

int64_t CudaOptimizer::partial_sums(int64_t n) const { return cuda::partial_sums(n); }

void CudaOptimizer::sum_squares(const at::Tensor& x, const at::Tensor& partials) const {
  check_array(x, x.numel(), at::kFloat, "a gradient");
  check_aligned(x);
  check_array(partials, cuda::partial_sums(x.numel()), at::kDouble, "partial sums");
  cuda::sum_squares(x.const_data_ptr<float>(), x.numel(), partials.mutable_data_ptr<double>(), current_stream_(x.device()));
}

void CudaOptimizer::decide(const at::Tensor& partials, const at::Tensor& loss, const kernels::AdamWNumbers& numbers,
                           const at::Tensor& scalars) const {
  check_array(partials, partials.numel(), at::kDouble, "partial sums");
  check_array(loss, 1, at::kFloat, "a loss");
  decide_step(partials.const_data_ptr<double>(), partials.numel(), loss.const_data_ptr<float>(), numbers, scalars_in(scalars),
              current_stream_(loss.device()));
}

void CudaOptimizer::update(const Bucket& bucket, const kernels::AdamWNumbers& numbers, const at::Tensor& scalars) const {
  const Stream stream = current_stream_(bucket.values.device());
  if (bucket.copy.defined() && bucket.copy.scalar_type() == at::kHalf) {
    adamw(pointers<kernels::Fp16>(bucket), numbers, scalars_in(scalars), stream);
  } else {
    check_internal(!bucket.copy.defined() || bucket.copy.scalar_type() == at::kBFloat16,
                   "a compute copy that is neither bf16 nor fp16");
    adamw(pointers<kernels::Bf16>(bucket), numbers, scalars_in(scalars), stream);
  }
}

}  // namespace berth::train::cuda
