// One optimizer step over all ranks: forward, backward with overlapped gradient reduction, norm, clip, update.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/samples/batch.h"
#include "trainer/comm/communicator.h"
#include "trainer/optim/adamw.h"
#include "trainer/optim/grad_reducer.h"
#include "trainer/run/train_options.h"
#include "trainer/tasks/instance.h"

namespace berth::train {

// What rank 0's sinks, the progress line and the loop get to know of a step. The same on all ranks.
struct StepResult {
  double loss = 0;                  // over all ranks: each term's sum / its valid targets
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

  // The small all-reduce before a step: sums this rank's valid targets, samples and tokens, and agrees on the control word (any
  // rank's wish counts).
  ControlWord agree(std::span<const data::Batch> micro_batches, ControlWord wish);
  // The step itself, with learning rate `lr`, after agree() for the same micro-batches. `step` counts from 0 over the whole run.
  StepResult run(std::span<const data::Batch> micro_batches, int64_t step, double lr);
  // After a step that was not finite: which rank, micro-batch and samples, in a sentence. A collective call.
  std::string culprit() const;

 private:
  // Backward through the loss of each micro-batch, which goes to losses_.
  void forward_backward(std::span<const data::Batch> micro_batches, int64_t step);
  // Once on each rank, as the first collective of a step: the sum of the losses on a device that decides by itself.
  void start_sum_of_losses();
  // What follows backward. On the host: norm and loss are waited for, then the update.
  StepResult update_from_host(double lr);
  // On the device: all is enqueued, then waited for once.
  StepResult update_on_device(double lr);

  ModelInstance& model_;
  AdamW& optimizer_;
  comm::Communicator& comm_;
  const TrainOptions& options_;
  GradReducer reducer_;
  std::vector<int64_t> targets_;  // per term of the loss, over all ranks
  int64_t samples_ = 0, tokens_ = 0, pairs_ = 0;
  // Of the last step on this rank, one a micro-batch.
  at::Tensor losses_;  // fp32
  std::vector<std::vector<int64_t>> sample_ids_;

  at::Tensor loss_;  // [1] fp32: the sum of losses_ over all ranks, on a device that decides by itself
  comm::Ticket loss_ticket_ = 0;
};

}  // namespace berth::train
