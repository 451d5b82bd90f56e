// One label for a text or a pair of texts.
#pragma once

#include "trainer/tasks/task.h"

namespace berth::train {

const Task& sequence_classification();

}  // namespace berth::train
