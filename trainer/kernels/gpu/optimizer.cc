#include "trainer/kernels/gpu/optimizer.h"

#include "data/check.h"
#include "trainer/kernels/cuda/adamw.h"
#include "trainer/kernels/cuda/lamb.h"

namespace berth::train::cuda {
namespace {

using kernels::StepPlan;

void check_array(const at::Tensor& tensor, int64_t n, at::ScalarType type, const char* what) {
  check_internal(tensor.is_contiguous() && tensor.numel() == n && tensor.scalar_type() == type, what, ": ", tensor.numel(),
                 " elements of type ", c10::toString(tensor.scalar_type()), ", contiguous or not, where ", n, " of ",
                 c10::toString(type), " are due");
}

// For vector access.
void check_aligned(const at::Tensor& tensor) {
  check_internal(reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) % 16 == 0, "a tensor for the optimizer is not aligned");
}

StepPlan* plan_in(const at::Tensor& tensor) {
  check_internal(tensor.is_contiguous() && tensor.nbytes() == sizeof(StepPlan), "a step's plan of ", tensor.nbytes(), " bytes");
  return static_cast<StepPlan*>(tensor.mutable_data_ptr());
}

template <class T>
AdamWBucket<T> pointers(const OptimizerKernels::Bucket& bucket) {
  const int64_t n = bucket.values.numel();
  for (const at::Tensor* array : {&bucket.values, &bucket.grads, &bucket.first, &bucket.second})
    check_array(*array, n, at::kFloat, "a bucket"), check_aligned(*array);
  check_array(bucket.flags, (n + bucket.group - 1) / bucket.group, at::kByte, "flags");
  if (bucket.average.defined()) check_array(bucket.average, n, at::kFloat, "averages"), check_aligned(bucket.average);
  if (bucket.copy.defined()) check_array(bucket.copy, n, bucket.copy.scalar_type(), "a compute copy"), check_aligned(bucket.copy);
  return {bucket.values.mutable_data_ptr<float>(),
          bucket.grads.const_data_ptr<float>(),
          bucket.first.mutable_data_ptr<float>(),
          bucket.second.mutable_data_ptr<float>(),
          bucket.copy.defined() ? static_cast<T*>(bucket.copy.mutable_data_ptr()) : nullptr,
          n,
          bucket.flags.const_data_ptr<uint8_t>(),
          bucket.group,
          bucket.average.defined() ? bucket.average.mutable_data_ptr<float>() : nullptr};
}

}  // namespace

int64_t CudaOptimizer::partial_sums(int64_t n) const { return cuda::partial_sums(n); }

void CudaOptimizer::sum_squares(const at::Tensor& x, const at::Tensor& partials) const {
  check_array(x, x.numel(), at::kFloat, "a gradient");
  check_aligned(x);
  check_array(partials, cuda::partial_sums(x.numel()), at::kDouble, "partial sums");
  cuda::sum_squares(x.const_data_ptr<float>(), x.numel(), partials.mutable_data_ptr<double>(), current_stream_(x.device()));
}

void CudaOptimizer::sum_bits(const at::Tensor& x, const at::Tensor& partials) const {
  check_array(x, x.numel() / 2 * 2, at::kFloat, "an even number of values");
  check_aligned(x);
  check_array(partials, cuda::partial_sums(x.numel()), at::kLong, "partial sums");
  cuda::sum_bits(x.const_data_ptr<float>(), x.numel(), reinterpret_cast<uint64_t*>(partials.mutable_data_ptr<int64_t>()),
                 current_stream_(x.device()));
}

void CudaOptimizer::decide(const at::Tensor& partials, const at::Tensor& loss, const kernels::AdamWNumbers& numbers,
                           const at::Tensor& plan) const {
  check_array(partials, partials.numel(), at::kDouble, "partial sums");
  check_array(loss, 1, at::kFloat, "a loss");
  decide_step(partials.const_data_ptr<double>(), partials.numel(), loss.const_data_ptr<float>(), numbers, plan_in(plan),
              current_stream_(loss.device()));
}

namespace {

// run(the bucket's pointers), by the type of its compute copy.
template <class Run>
void with_pointers(const OptimizerKernels::Bucket& bucket, const Run& run) {
  if (bucket.copy.defined() && bucket.copy.scalar_type() == at::kHalf) {
    run(pointers<kernels::Fp16>(bucket));
  } else {
    check_internal(!bucket.copy.defined() || bucket.copy.scalar_type() == at::kBFloat16,
                   "a compute copy that is neither bf16 nor fp16");
    run(pointers<kernels::Bf16>(bucket));
  }
}

const LambSegment* segments_in(const at::Tensor& segments) {
  static_assert(sizeof(LambSegment) == 3 * sizeof(int32_t));
  check_array(segments, 3 * segments.size(0), at::kInt, "segments");
  return reinterpret_cast<const LambSegment*>(segments.const_data_ptr<int32_t>());
}

}  // namespace

void CudaOptimizer::update(const Bucket& bucket, const kernels::AdamWNumbers& numbers, const at::Tensor& plan) const {
  const Stream stream = current_stream_(bucket.values.device());
  with_pointers(bucket, [&](const auto& pointers) { adamw(pointers, numbers, plan_in(plan), stream); });
}

void CudaOptimizer::lamb_moments(const Bucket& bucket, const at::Tensor& segments, const kernels::AdamWNumbers& numbers,
                                 const at::Tensor& plan, const at::Tensor& partials) const {
  check_array(partials, 2 * segments.size(0), at::kDouble, "partial sums");
  const Stream stream = current_stream_(bucket.values.device());
  with_pointers(bucket, [&](const auto& pointers) {
    cuda::lamb_moments(pointers, segments_in(segments), segments.size(0), numbers, plan_in(plan),
                       partials.mutable_data_ptr<double>(), stream);
  });
}

void CudaOptimizer::lamb_sums(const at::Tensor& partials, const at::Tensor& ranges, const at::Tensor& sums) const {
  const int64_t parameters = ranges.numel() - 1;
  check_array(ranges, parameters + 1, at::kInt, "ranges");
  check_array(sums, 2 * parameters, at::kDouble, "sums");
  cuda::lamb_sums(partials.const_data_ptr<double>(), ranges.const_data_ptr<int32_t>(), parameters,
                  sums.mutable_data_ptr<double>(), current_stream_(sums.device()));
}

void CudaOptimizer::lamb_update(const Bucket& bucket, const at::Tensor& segments, const at::Tensor& sums,
                                const kernels::AdamWNumbers& numbers, const at::Tensor& plan) const {
  check_array(sums, sums.numel(), at::kDouble, "sums");
  const Stream stream = current_stream_(bucket.values.device());
  with_pointers(bucket, [&](const auto& pointers) {
    cuda::lamb_update(pointers, segments_in(segments), segments.size(0), numbers, plan_in(plan), sums.const_data_ptr<double>(),
                      static_cast<int32_t>(sums.size(0)), static_cast<int32_t>(sums.size(1)), stream);
  });
}

}  // namespace berth::train::cuda
