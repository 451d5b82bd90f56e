// Gradients between GPUs.
#pragma once

#include <memory>

#include "trainer/comm/communicator.h"

namespace berth::comm {

// NCCL carries the tensors, on options.gpu, which becomes the calling thread's device. `host` introduces the ranks to each other and
// makes the host collectives; its tensor collectives are not used. Throws Error(kUsage) if two ranks have one GPU.
std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<Communicator> host, const CommOptions& options);

}  // namespace berth::comm
