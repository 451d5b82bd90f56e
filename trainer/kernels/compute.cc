#include "trainer/kernels/compute.h"

#include <ATen/detail/CUDAHooksInterface.h>
#include <torch/headeronly/version.h>

#include "data/check.h"
#include "trainer/torch.h"

namespace berth::train {

int visible_gpus() {
  const at::CUDAHooksInterface& hooks = at::detail::getCUDAHooks();
  return hooks.hasCUDA() ? hooks.deviceCount() : 0;
}

void set_compute_threads(int threads) { at::set_num_threads(threads); }

std::string describe_libtorch() {
  return concat("libtorch ", TORCH_VERSION, ", ", at::get_cpu_capability(), at::hasCUDA() ? ", CUDA" : "");
}

}  // namespace berth::train
