// Hidden words: masked language modelling, alone or together with next-sentence prediction.
#pragma once

#include "trainer/tasks/task.h"

namespace berth::train {

const Task& masked_lm();
const Task& pretraining();

}  // namespace berth::train
