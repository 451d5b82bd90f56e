// Multiple choice: which of a text's choices is the right one.
#pragma once

#include "trainer/tasks/task.h"

namespace berth::train {

const Task& multiple_choice();

}  // namespace berth::train
