// What bit-for-bit equality of a resumed run depends on, beside options and data: recorded in each checkpoint.
#pragma once

#include <nlohmann/json.hpp>

#include "trainer/comm/communicator.h"

namespace berth::train {

// {"ranks", "ranks_per_host", "threads", "instruction_set", "libtorch", "device"}: the same on all ranks. If `stored` (a
// checkpoint's, or null) differs, rank 0 warns which results will only be equal to rounding. A collective call.
nlohmann::ordered_json describe_environment(comm::Communicator& comm, bool shares_moments, const nlohmann::ordered_json& stored);

}  // namespace berth::train
