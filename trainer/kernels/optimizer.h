// The optimizer's step on flat fp32 buckets, on devices whose results the host does not wait for. (The CPU's step is trainer/optim's.)
#pragma once

#include "trainer/kernels/cpu/adamw_args.h"
#include "trainer/torch.h"

namespace berth::train {

// All tensors are contiguous and on one device; work goes to its current stream. The same input gives the same bits, on every device of
// the type.
class OptimizerKernels {
 public:
  virtual ~OptimizerKernels() = default;

  // How many partial sums an array of n elements has.
  virtual int64_t partial_sums(int64_t n) const = 0;
  // partials [partial_sums(n)] fp64 = sums of squares of parts of x, n elements fp32.
  virtual void sum_squares(const at::Tensor& x, const at::Tensor& partials) const = 0;
  // partials [partial_sums(n)] int64, whose sum mod 2^64 is that of w[i] (2 i + 1) over the 64-bit words w of the n elements fp32,
  // n being even.
  virtual void sum_bits(const at::Tensor& x, const at::Tensor& partials) const = 0;

  // The norm out of the partial sums of all arrays, and with it and loss [1] fp32 the numbers of this step's update, or that there is
  // none because it is not finite. `plan`: a kernels::StepPlan, whose `updates` and `loss_scale` go on from step to step.
  virtual void decide(const at::Tensor& partials, const at::Tensor& loss, const kernels::AdamWNumbers& numbers,
                      const at::Tensor& plan) const = 0;

  struct Bucket {
    at::Tensor values, grads, first, second;  // [n] fp32, the last two moments
    at::Tensor copy;                          // [n] bf16 or fp16: the values, written along; undefined: none
    at::Tensor flags;  // [ceil(n / group)] uint8, of groups of elements: kernels::kDecays, kHasMoments, the rate
    int64_t group = 1;
    at::Tensor average;  // [n] fp32: of the values, updated along (AdamWNumbers::ema_decay); undefined: none
  };
  // The update that decide() left, clipped: as trainer/optim/adamw_kernels.h, in fused multiply-adds.
  virtual void update(const Bucket& bucket, const kernels::AdamWNumbers& numbers, const at::Tensor& plan) const = 0;

  // LAMB (trainer/optim/lamb.h): in the place of update(), for each bucket its moments, then the sums, then its update.
  // segments [s, 3] int32: begin, end, and parameter, of a bucket's elements; partials [s, 2] fp64.
  virtual void lamb_moments(const Bucket& bucket, const at::Tensor& segments, const kernels::AdamWNumbers& numbers,
                            const at::Tensor& plan, const at::Tensor& partials) const = 0;
  // sums [parameters, 2] fp64: of the partials [*, 2] number ranges[p] to ranges[p + 1], int32, of each parameter p.
  virtual void lamb_sums(const at::Tensor& partials, const at::Tensor& ranges, const at::Tensor& sums) const = 0;
  // sums [ranks, parameters, 2]: what they add up to is a parameter's.
  virtual void lamb_update(const Bucket& bucket, const at::Tensor& segments, const at::Tensor& sums,
                           const kernels::AdamWNumbers& numbers, const at::Tensor& plan) const = 0;
};

// Those of a device; null if it has none.
const OptimizerKernels* optimizer_kernels(at::DeviceType device);
// To be called before the first optimizer is made; `kernels`, null for none, must live as long as the program.
void register_optimizer_kernels(at::DeviceType device, const OptimizerKernels* kernels);

}  // namespace berth::train
