// The model card of a run that has ended.
#pragma once

#include <string>

#include "trainer/report/model_card.h"
#include "trainer/run/train_setup.h"

namespace berth::train {

// `command`: the train command, for a shell. `model_step`: after which step the final model was what it is. What provenance.json says of the
// run's jobs is read there. For rank 0.
ModelCard make_card(const TrainOptions& options, const TrainSetup& setup, const std::string& command, const std::string& version,
                    int64_t model_step);

}  // namespace berth::train
