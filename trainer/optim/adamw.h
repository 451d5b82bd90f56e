// AdamW over the flat buckets: one pass for the gradient norm, one fused pass for clipping, moments and update.
//
// The update is that of torch.optim.AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019), without
// decay on the parameters that say so (biases, LayerNorm), each with the learning rate of its group (rate_groups.h):
//   p -= lr * decay * p
//   m = b1 m + (1 - b1) g
//   v = b2 v + (1 - b2) g^2
//   p -= lr / (1 - b1^t) * m / (sqrt(v / (1 - b2^t)) + eps)
//
// Of a bucket that is cut each rank updates its part. Sharers have values and moments in common; where it is cut among all ranks (ZeRO, stage 1) a rank
// alone has the moments of its part, and the values go to all.
//
// In a kRows bucket only rows that were ever touched are visited: a row without a gradient so far has zero moments, so it does
// not move, and with weight decay it only shrinks. The result is exactly that of the dense update.
//
// With Optim::kLamb the update is LAMB's (lamb.h). With ema_decay d averages of the values are kept, which begin with the values and become
// a += (1 - d) * (p - a) with each update, as torch.optim.swa_utils.get_ema_multi_avg_fn and timm's ModelEmaV2 have it.
//
// On the CPU, gradient_norm() and step() do it. Other devices, whose results the host had better not wait for, decide for themselves:
// start() and finish().
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "trainer/model/parameters.h"
#include "trainer/optim/adamw_options.h"
#include "trainer/optim/device_step.h"
#include "trainer/optim/rate_groups.h"

namespace berth::train {

class AdamW {
 public:
  // Throws Error(kInternal) if the parameters are on a device that this program has no OptimizerKernels for.
  AdamW(ParameterStore& parameters, AdamWOptions options);
  AdamW(const AdamW&) = delete;
  AdamW& operator=(const AdamW&) = delete;

  // The peak learning rates of the groups of parameters, the run's own first. Below, `rates` are a step's, of the same groups.
  const std::vector<double>& peaks() const { return groups_.peaks; }

  bool on_device() const { return device_.has_value(); }

  // On the CPU.

  // The 2-norm of the whole gradient, summed in double in a fixed order: the same on all ranks and for any number of threads. Not
  // finite if any gradient is not. `touched` are the rows of the kRows bucket that may be non-zero. Here and below: a collective call where
  // parameters are cut. Called before each step(): then no rank reads values of the sharers any more.
  double gradient_norm(std::span<const int32_t> touched);

  // One update, values' compute copies with it; gradients are scaled as torch.nn.utils.clip_grad_norm_ does, given their `norm`. Here and below:
  // who reads values then awaits them (ParameterStore::await_values()), in case the other ranks' parts are still on their way.
  void step(std::span<const double> rates, double norm, std::span<const int32_t> touched);

  // On a device.

  // Enqueues norm, decision, and one update, values' compute copies with it. Nothing is updated unless the norm
  // and `loss` [1] fp32, on the device and alike on all ranks, are finite; with `halts`, no later step updates anything then either.
  // A step may be started while the one before it is not finished.
  void start(std::span<const double> rates, const at::Tensor& loss, const TouchedRows& touched, bool halts);
  // Waits for the oldest step that is started and not finished. What came of it.
  kernels::StepScalars finish();
  // As DeviceStep has it.
  void scale_loss(const LossScale& first) { device_.value().scale_loss(first); }

  // What backward begins with, as DeviceStep has it; undefined, which stands for 1, if the loss is not scaled.
  at::Tensor loss_scale() const { return device_ ? device_->loss_scale() : at::Tensor(); }

  // Before values, moments or averages change the next time, calls `wait`, once: until then others may read them on another thread. An
  // empty function removes it.
  void before_next_change(std::function<void()> wait) { before_next_change_ = std::move(wait); }

  int64_t steps() const { return steps_; }  // updates made, as far as the host knows

  // Where averages are kept, exchanges them with the values, of which compute copies go along; between steps only. A collective call where
  // parameters are cut.
  void swap_averages();

  // Moments by name, "exp_avg.<parameter>" and "exp_avg_sq.<parameter>": fp32, shaped like their parameter. With averages also
  // "weight.<parameter>": those, or after swap_averages() the values that training goes on with.
  using State = std::vector<std::pair<std::string, at::Tensor>>;
  // On rank 0; on the others nothing. Views, but of what is cut among all ranks copies on the host. Collective.
  State gathered_state() const;
  // `fill` writes to all moments on each rank, on rank 0 first, and ends with a collective; of what is cut among all ranks each then keeps its
  // part, and it is filled on the host, since whole it may be more than the device has room for.
  // Averages stay as they are unless `with_averages`.
  void fill_state(const std::function<void(const State&)>& fill, bool with_averages = true);
  // To be called after moments were written to: the number of updates made so far, and which rows were ever touched is found
  // again.
  void restored(int64_t steps);

 private:
  State named(const std::vector<Moments>& moments) const;
  void adamw_step(const Bucket& bucket, std::span<const double> rates, double grad_scale);  // rates by parameter
  void begin_to_change() {
    if (const auto wait = std::exchange(before_next_change_, nullptr)) wait();
    parameters_.await_values();
  }
  float averages_weight() const { return static_cast<float>(1 - options_.ema_decay); }

  ParameterStore& parameters_;
  AdamWOptions options_;
  RateGroups groups_;
  // One a bucket, undefined tensors for frozen ones: what this rank has memory for (all; of what is cut among all ranks its part), and of it
  // the part that it updates.
  std::vector<Moments> held_;
  std::vector<Moments> moments_;
  std::vector<uint8_t> ever_touched_;  // of the kRows table, one byte a row
  int64_t steps_ = 0;
  std::function<void()> before_next_change_;
  std::optional<DeviceStep> device_;
};

}  // namespace berth::train
