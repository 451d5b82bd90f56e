// AdamW's or LAMB's step on a device with OptimizerKernels: enqueued whole, norm, decision and update; the host learns later what came of it.
#pragma once

#include <c10/core/Event.h>

#include <array>
#include <optional>
#include <span>
#include <vector>

#include "trainer/kernels/optimizer.h"
#include "trainer/model/parameters.h"
#include "trainer/optim/adamw_options.h"
#include "trainer/optim/device_lamb.h"
#include "trainer/optim/rate_groups.h"

namespace berth::train {

// The rows of the kRows table whose gradient may be other than zero in a step.
struct TouchedRows {
  at::Tensor index;  // [rows] int64, ascending, on the device; undefined if there is no such table
  at::Tensor grads;  // [rows, H] fp32: their gradient, packed
};

// Of the elements of a bucket's part, flat: the two moments, and with --ema-decay the averages of the values.
struct Moments {
  at::Tensor first, second;  // [part_size]; undefined for frozen buckets
  at::Tensor average;        // [part_size]; undefined also where none is kept
};

class DeviceStep {
 public:
  // All must outlive it. Throws Error(kInternal) if this program has no optimizer for the parameters' device.
  DeviceStep(ParameterStore& parameters, const std::vector<Moments>& moments, const RateGroups& groups,
             const AdamWOptions& options);

  // Enqueues the step: with each group's learning rate, and only if the norm of the gradient and `loss` [1] fp32 are finite. `halts`: if they
  // are not, no later step updates anything either. At most kMostStarted steps may be started and not finished. Collective where
  // parameters are cut.
  void start(std::span<const double> rates, const at::Tensor& loss, const TouchedRows& touched, bool halts);
  // Waits for the oldest step that is started and not finished: what came of it.
  kernels::StepScalars finish();
  static constexpr int64_t kMostStarted = 2;

  // When no step is under way. So many updates were made; the moments are those after them.
  void restored(int64_t updates);

  // The loss is scaled from now on, at first so: each backward has begun with loss_scale() (the kernel adapts it) when start() is called.
  void scale_loss(const LossScale& first);
  // A number, fp32, on the device: of the next step. Undefined if the loss is not scaled.
  const at::Tensor& loss_scale() const { return loss_scale_; }

 private:
  // Flags of the bucket's groups of elements, and how large these are.
  void add_flags(const Bucket& bucket);
  // One a bucket; nothing of frozen ones.
  std::vector<OptimizerKernels::Bucket> this_ranks_parts() const;
  c10::Stream current_stream() const;

  ParameterStore& parameters_;
  const std::vector<Moments>& moments_;
  const RateGroups& groups_;
  const AdamWOptions& options_;
  at::Device device_;
  const OptimizerKernels& kernels_;

  struct Flags {
    at::Tensor of_groups;  // uint8, of the part: kernels::kDecays, kHasMoments, the rate
    int64_t group = 1;     // elements
  };
  std::vector<Flags> flags_;  // one a bucket; undefined for frozen buckets
  uint8_t row_flag_ = 0;      // of the rows of the kRows table that have moments
  // Partial sums of squares, fp64: of the parts of each rank, then of what is not cut.
  at::Tensor partials_;
  int64_t of_a_rank_ = 0;
  std::optional<DeviceLamb> lamb_;
  at::Tensor plan_;        // a StepPlan on the device
  at::Tensor loss_scale_;  // a view of it
  // Its scalars on the host after a step: those of step k in the place k % kMostStarted.
  struct Report {
    at::Tensor scalars;
    std::optional<c10::Event> done;  // when it is there; devices without streams have none
  };
  std::array<Report, kMostStarted> reports_;
  int64_t started_ = 0, finished_ = 0;  // steps
};

}  // namespace berth::train
