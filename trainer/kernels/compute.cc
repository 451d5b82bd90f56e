#include "trainer/kernels/compute.h"

#include <torch/headeronly/version.h>

#include "data/check.h"
#include "trainer/torch.h"

namespace berth::train {

void set_compute_threads(int threads) { at::set_num_threads(threads); }

std::string describe_libtorch() { return concat("libtorch ", TORCH_VERSION, ", ", at::get_cpu_capability()); }

}  // namespace berth::train
