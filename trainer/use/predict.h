// Predictions on new texts over all ranks, in the order of the input, with bounded memory, by one model or several together.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <span>

#include "data/features/features.h"
#include "data/samples/record.h"
#include "trainer/comm/communicator.h"
#include "trainer/use/load_model.h"

namespace berth::train {

struct PredictOptions {
  std::string origin = "the input";    // where the records are from, for errors: "new.csv"
  data::FeatureOptions features = {};  // label_names, offsets and windows are set here
  PredictionOptions predictions = {};
  int64_t batch_size = 8;           // samples of one forward pass
  int64_t window_records = 4096;    // in memory at a time …
  int64_t window_bytes = 8 << 20;   // … and of no more text than this, but at least one record
  PrecisionOptions precision = {};  // the models were loaded so
  int64_t row_windows = 4096;       // a text that is cut into more is refused: memory grows with them
};

// `models` (at least one) have the same task, labels, vocabulary and normalisation; of several, the probabilities are averaged.
// `next` gives the records one by one and false at the end; it is called on rank 0 only, as is `emit`, with each record and its
// prediction, in order. Records travel to the ranks a window at a time; what is computed together does not depend on the number
// of ranks. `stop`, which any rank may say: give up. A collective call. False if it was stopped.
bool predict(std::span<const LoadedModel> models, comm::Communicator& comm, const PredictOptions& options,
             const std::function<bool(data::Record&)>& next,
             const std::function<void(const data::Record&, const nlohmann::ordered_json&)>& emit,
             const std::function<bool()>& stop);

}  // namespace berth::train
