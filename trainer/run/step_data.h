// What this rank needs for a run's steps, made before they come.
#pragma once

#include <exception>
#include <vector>

#include "data/pipeline/prefetcher.h"
#include "data/samples/batch.h"
#include "trainer/model/device_batch.h"
#include "trainer/optim/row_set.h"
#include "trainer/run/train_setup.h"

namespace berth::train {

struct MicroBatch {
  data::Batch batch;
  BatchUpload upload;  // of the same
};

// Tokens of a micro-batch at most, unless one sample alone has more; 0: any number.
int64_t most_micro_batch_tokens(at::Device device);

// This rank's share of a step.
struct StepData {
  std::vector<MicroBatch> micro_batches;  // may be empty
  int64_t samples = 0, tokens = 0, pairs = 0;
  std::vector<double> targets;           // weight of the valid ones, per term of the loss
  RowSet rows;                           // of the word embeddings, or of no table if they are frozen
  std::exception_ptr failure = nullptr;  // why there is nothing of all that
};

// Makes StepData of batches. On a GPU they go up on a stream of its own, which the host does not wait for.
class StepDataMaker {
 public:
  // `model` must outlive it.
  StepDataMaker(const ModelInstance& model, at::Device device);
  StepData operator()(std::vector<data::Batch> batches) const;

 private:
  const ModelInstance& model_;
  c10::Stream copies_;
  int64_t table_rows_ = 0;
};

// Of each step from the state's on to the horizon: read, collated, transformed and sent to the device on a thread of its own. What fails
// there is in StepData::failure, for the ranks to agree on. All must outlive the result.
data::Prefetcher<StepData> read_ahead(const TrainOptions& options, const TrainSetup& setup, const comm::Communicator& comm);

// What the task does to each batch, of training and of evaluation: masks of language models, keyed by the run's seed.
data::BatchTransform batch_transform(const TrainOptions& options, const TrainSetup& setup);

}  // namespace berth::train
