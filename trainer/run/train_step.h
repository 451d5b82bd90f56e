// One optimizer step over all ranks: forward, backward with overlapped gradient reduction, norm, clip, update.
#pragma once

#include <c10/core/Event.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "trainer/checkpoint/provenance.h"
#include "trainer/comm/communicator.h"
#include "trainer/optim/adamw.h"
#include "trainer/optim/grad_reducer.h"
#include "trainer/run/step_data.h"
#include "trainer/run/stragglers.h"
#include "trainer/run/train_options.h"
#include "trainer/tasks/instance.h"

namespace berth::train {

// What rank 0's sinks, the progress line and the loop get to know of a step. The same on all ranks.
struct StepResult {
  double loss = 0;                  // over all ranks: each term's sum / the weight of its valid targets
  double grad_norm = 0;             // before clipping
  int64_t samples = 0, tokens = 0;  // of all ranks
  int64_t pairs = 0;                // of tokens that attend to each other
  bool finite = true;               // else nothing was updated
  bool overflowed = false;          // not finite, for fp16's loss scale alone
  LossScale loss_scale = {};        // of the next step, with fp16
};

// What each rank wishes and all ranks learn before the forward pass.
struct ControlWord {
  bool stop = false;
  bool save = false;
};

// The time between two places in a device's stream.
class DeviceTime {
 public:
  explicit DeviceTime(at::Device device);  // begins here
  void stop();
  double seconds() const { return begin_.elapsedTime(end_) / 1e3; }  // the device is past both

 private:
  at::Device device_;
  c10::Event begin_, end_;
};

class TrainStep {
 public:
  // All must outlive it. Takes over the parameters' grad-ready callback.
  TrainStep(ModelInstance& model, AdamW& optimizer, comm::Communicator& comm, const TrainOptions& options);

  // The small all-reduce before a step: sums the weights of the ranks' valid targets, samples and tokens, unites the rows of the word embeddings that
  // they touch, and agrees on the control word (any rank's wish counts). On a device, the step before is under way meanwhile. `data`:
  // this rank's share of the step. Throws comm::AgreedError if any rank could not read its own.
  ControlWord agree(StepData data, ControlWord wish);
  // The step itself, after agree(), with the learning rates of the groups of parameters (AdamW::peaks()). `step` counts from 0 over the whole run. On a
  // device that decides by itself it is only enqueued; at most this many steps may be under way when the next one is started.
  void start(int64_t step, std::span<const double> rates);
  int64_t most_under_way() const { return optimizer_.on_device() ? DeviceStep::kMostStarted - 1 : 0; }
  int64_t under_way() const { return std::ssize(under_way_); }  // started and not finished
  // Waits for the oldest of them: what came of it.
  StepResult finish();
  // Between the last step and whatever reads parameters otherwise than the next one, or before no step follows: ParameterStore::await_values().
  void await_values();
  // Between these two, once around the reading of its data, agree(), start() and finish(), the time of a step is taken: in all, and what
  // this rank needed without waiting for others. With a GPU that is what forward and backward took there, or the data, if that is longer:
  // a host that is ahead of its GPU waits in any call. The next agree() tells the ranks.
  void begin_clock();
  void end_clock();
  double seconds() const { return seconds_; }  // of the last step
  // Of all steps so far; unset with a GPU.
  std::optional<StepSeconds> phases() const;
  // By rank, what agree() heard: its seconds in the step before, and its tokens in this one.
  const std::vector<OwnPart>& parts_of_ranks() const { return parts_of_ranks_; }
  // When the step finished last, the step-th from 0, was not finite: which rank, micro-batch and samples, in a sentence. Where losses do
  // not say it, it computes the step again. A collective call.
  std::string culprit(int64_t step);

 private:
  // What is kept of a step until the next one is finished: also what was uploaded for it (BatchUpload).
  struct Step {
    StepData data;
    StepResult result;           // on a device, loss, norm and whether they are finite come with its report
    std::vector<float> targets;  // weight of its valid targets, per term of the loss, over all ranks
    at::Tensor losses;           // [micro-batches] fp32: those of this rank
    std::optional<DeviceTime> time = {};
  };
  ForwardContext context(int64_t step) const;
  // The share of the step's loss that a micro-batch has, with its graph.
  at::Tensor share_of(const MicroBatch& micro_batch, const ForwardContext& context, const at::Tensor& targets);
  void backward(const at::Tensor& share);
  // Backward through the loss of each micro-batch, which goes to made.losses.
  void forward_backward(int64_t step, Step& made);
  // The first micro-batch of the step finished last with a loss that is not finite, or, computed again, a gradient; "" if there is none.
  std::string loss_not_finite() const;
  std::string gradient_not_finite(int64_t step);
  void lap(double& phase);  // to which the time since the last lap is added
  // Once on each rank, as the first collective of a step: the sum of the losses on a device that decides by itself.
  void start_sum_of_losses(const at::Tensor& losses);
  // What follows backward. On the host: norm and loss are waited for, then the update.
  void update_from_host(std::span<const double> rates, Step& made);
  // On the device: all is enqueued.
  void update_on_device(std::span<const double> rates);

  ModelInstance& model_;
  AdamW& optimizer_;
  comm::Communicator& comm_;
  const TrainOptions& options_;
  GradReducer reducer_;
  std::optional<Step> agreed_;  // the step to be started
  std::vector<OwnPart> parts_of_ranks_;
  std::chrono::steady_clock::time_point began_, lap_;
  StepSeconds phases_;
  double hidden_before_;                     // sums and gathers before the first step
  double waited_before_ = 0;                 // when it began
  double reading_ = 0, device_seconds_ = 0;  // up to agree(); of forward and backward, in the step finished last
  double seconds_ = 0, own_seconds_ = 0;     // of the last step
  std::deque<Step> under_way_;
  std::optional<Step> finished_;  // last

  at::Tensor loss_;  // [1] fp32: the sum of a step's losses over all ranks, on a device that decides by itself
  comm::Ticket loss_ticket_ = 0;
};

}  // namespace berth::train
