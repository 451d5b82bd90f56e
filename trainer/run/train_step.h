// One optimizer step over all ranks: forward, backward with overlapped gradient reduction, norm, clip, update.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "trainer/comm/communicator.h"
#include "trainer/optim/adamw.h"
#include "trainer/optim/grad_reducer.h"
#include "trainer/run/step_data.h"
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

class TrainStep {
 public:
  // All must outlive it. Takes over the parameters' grad-ready callback.
  TrainStep(ModelInstance& model, AdamW& optimizer, comm::Communicator& comm, const TrainOptions& options);

  // The small all-reduce before a step: sums the weights of the ranks' valid targets, samples and tokens, unites the rows of the word embeddings that
  // they touch, and agrees on the control word (any rank's wish counts). On a device, the step before is under way meanwhile. `data`:
  // this rank's share of the step.
  ControlWord agree(StepData data, ControlWord wish);
  // The step itself, after agree(), with the learning rates of the groups of parameters (AdamW::peaks()). `step` counts from 0 over the whole run. On a
  // device that decides by itself it is only enqueued; at most this many steps may be under way when the next one is started.
  void start(int64_t step, std::span<const double> rates);
  int64_t most_under_way() const { return optimizer_.on_device() ? DeviceStep::kMostStarted - 1 : 0; }
  int64_t under_way() const { return std::ssize(under_way_); }  // started and not finished
  // Waits for the oldest of them: what came of it.
  StepResult finish();
  // When the step finished last was not finite: which rank, micro-batch and samples, in a sentence. A collective call.
  std::string culprit() const;

 private:
  // What is kept of a step until the next one is finished: also what was uploaded for it (BatchUpload).
  struct Step {
    StepData data;
    StepResult result;  // on a device, loss, norm and whether they are finite come with its report
    at::Tensor losses;  // [micro-batches] fp32: those of this rank
  };
  // Backward through the loss of each micro-batch, which goes to made.losses.
  void forward_backward(int64_t step, Step& made);
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
  std::optional<Step> agreed_;   // the step to be started
  std::vector<double> targets_;  // weight of its, per term of the loss, over all ranks
  std::deque<Step> under_way_;
  std::optional<Step> finished_;  // last

  at::Tensor loss_;  // [1] fp32: the sum of a step's losses over all ranks, on a device that decides by itself
  comm::Ticket loss_ticket_ = 0;
};

}  // namespace berth::train
