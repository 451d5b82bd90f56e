// What the ranks have of single samples, together.
#pragma once

#include <vector>

#include "trainer/comm/communicator.h"
#include "trainer/tasks/task.h"

namespace berth::train {

// The records of all ranks on rank 0, ascending by sample; nothing on the others. A collective call.
std::vector<EvalRecord> gather_records(const std::vector<EvalRecord>& own, comm::Communicator& comm);

}  // namespace berth::train
