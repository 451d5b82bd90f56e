#include "launcher/version.h"

#include <torch/headeronly/version.h>

#include "data/check.h"
#include "trainer/torch.h"

namespace berth::launch {

std::string version() {
  return concat("berth ", BERTH_VERSION, " (libtorch ", TORCH_VERSION, ", ", at::get_cpu_capability(),
                at::hasCUDA() ? ", CUDA)" : ")");
}

}  // namespace berth::launch
