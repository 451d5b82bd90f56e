// The machines that berth scale knows.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "trainer/scale/scaling.h"

namespace berth::scale {

// "ethernet", "infiniband", "nvlink", "measured".
const std::vector<std::string>& platform_names();
// Throws Error(kUsage) listing them.
void check_platform(const std::string& name);

// By name. Rings over NVLink in the nodes where GPUs were measured, and for "nvlink". "measured": all ranks in one node, or on nodes like those
// that were measured; nothing if there was one rank. Where ranks of one host summed in shared memory, what that took counts for all
// platforms of CPUs.
std::optional<Platform> platform(const std::string& name, int ranks_per_node, const Measurement& measured);

}  // namespace berth::scale
