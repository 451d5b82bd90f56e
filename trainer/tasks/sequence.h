// One answer for a text or a pair of texts: a class or a number.
#pragma once

#include "trainer/tasks/task.h"

namespace berth::train {

const Task& sequence_classification();
const Task& regression();
// Whether the second text of a pair follows the first.
const Task& next_sentence();

}  // namespace berth::train
