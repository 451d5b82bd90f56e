// One answer for a text or a pair of texts: a class, a number, or any number of labels.
#pragma once

#include "trainer/tasks/task.h"

namespace berth::train {

const Task& sequence_classification();
const Task& regression();
const Task& multi_label();
// Whether the second text of a pair follows the first.
const Task& next_sentence();

}  // namespace berth::train
