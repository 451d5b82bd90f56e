// Options that a run keeps from its first step to its last, because another value would bend it: stored in every checkpoint, and
// compared when the run goes on.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/store/dataset.h"
#include "trainer/model/config.h"
#include "trainer/run/horizon.h"
#include "trainer/run/label_weights.h"
#include "trainer/run/train_options.h"

namespace berth::train {

// By the option's name, with underscores, the value that holds: model (its folder's name), seeds, data ("data": the splits' SHA-256), horizon, schedule,
// optimizer, precision, dropout (of `config`, if there is one), masks, weights of labels, metric of the best model. Not the global batch, which may be
// changed by --global-batch-size.
nlohmann::ordered_json fixed_options(const TrainOptions& options, const Horizon& horizon, const data::DatasetInfo& info,
                                     const LabelWeights& weights, const BertConfig* config);
// Those of them that older checkpoints tell.
nlohmann::ordered_json fixed_options(const Horizon& horizon);

// Throws Error(kUsage) that lists the options that are in both with different values, and are not among `allowed` (names with
// dashes or underscores; "all"), and says what to do. `origin`: the checkpoint.
void check_fixed_options(const nlohmann::ordered_json& began, const nlohmann::ordered_json& now,
                         const std::vector<std::string>& allowed, const std::string& origin);

}  // namespace berth::train
