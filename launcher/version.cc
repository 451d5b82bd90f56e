#include "launcher/version.h"

#include "data/check.h"
#include "trainer/kernels/compute.h"

namespace berth::launch {

std::string version_number() { return BERTH_VERSION; }

std::string version() { return concat("berth ", version_number(), " (", train::describe_libtorch(), ")"); }

}  // namespace berth::launch
