// The micro-batches of a run's steps on this rank.
#pragma once

#include "data/pipeline/prefetcher.h"
#include "trainer/run/train_setup.h"

namespace berth::train {

// Those of each step from the state's on to the horizon, read, collated and transformed on a thread of its own. All must outlive
// the result.
data::Prefetcher read_ahead(const TrainOptions& options, const TrainSetup& setup, const comm::Communicator& comm);

// What the task does to each batch, of training and of evaluation: masks of language models, keyed by the run's seed.
data::BatchTransform batch_transform(const TrainOptions& options, const TrainSetup& setup);

}  // namespace berth::train
