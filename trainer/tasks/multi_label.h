// Any number of labels for a text or a pair of texts.
#pragma once

#include "trainer/tasks/task.h"

namespace berth::train {

const Task& multi_label();

}  // namespace berth::train
