// Predictions on new texts over all ranks, in the order of the input, with bounded memory, by one model or several together.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <span>

#include "data/features/features.h"
#include "data/samples/record.h"
#include "trainer/use/deal.h"
#include "trainer/use/load_model.h"

namespace berth::train {

struct PredictOptions : DealOptions {
  data::FeatureOptions features = {};  // label_names, offsets and windows are set here
  PredictionOptions predictions = {};
  PrecisionOptions precision = {};  // the models were loaded so
  int64_t row_windows = 4096;       // a text that is cut into more is refused: memory grows with them
};

// `models` (at least one) have the same task, labels, vocabulary and normalisation; of several, the probabilities are averaged.
// The rest is as in deal_records().
bool predict(std::span<const LoadedModel> models, comm::Communicator& comm, const PredictOptions& options,
             const std::function<bool(data::Record&)>& next,
             const std::function<void(const data::Record&, const nlohmann::ordered_json&)>& emit,
             const std::function<bool()>& stop);

}  // namespace berth::train
