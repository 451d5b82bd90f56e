#include "launcher/version.h"

#include "data/check.h"
#include "trainer/kernels/compute.h"

namespace berth::launch {

std::string version() { return concat("berth ", BERTH_VERSION, " (", train::describe_libtorch(), ")"); }

}  // namespace berth::launch
