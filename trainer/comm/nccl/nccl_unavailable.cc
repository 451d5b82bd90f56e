#include "data/check.h"
#include "trainer/comm/communicator.h"

namespace berth::comm {

std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<Communicator>, const CommOptions&) {
  fail(ExitCode::kUsage, "this berth computes on CPUs only: use the binary berth_cuda (CMake target cuda) for GPUs");
}

}  // namespace berth::comm
