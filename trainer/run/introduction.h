// What a run says of itself before its first step.
#pragma once

#include <string>
#include <vector>

#include "trainer/run/train_options.h"
#include "trainer/run/train_setup.h"

namespace berth::train {

// A line each: data, model, how a step is made, and, of a run that goes on, from where. For rank 0; `setup` is ready to train.
std::vector<std::string> introduction(const TrainOptions& options, const TrainSetup& setup);

// What is wrong with a warm-up that is as long as the run or longer; "" if it is not. `peak`: the learning rate.
std::string warm_up_warning(const Horizon& horizon, double peak);

}  // namespace berth::train
