// What a training step and its communication take on these ranks.
#pragma once

#include <vector>

#include "trainer/comm/communicator.h"
#include "trainer/run/train_options.h"
#include "trainer/scale/scaling.h"

namespace berth::scale {

inline constexpr int64_t kSteps = 30;  // that are measured, if --max-steps does not say

// A collective call. Steps are those of berth train with these options, of which those of evaluation, checkpoints and logs have no
// meaning: each rank's alone, on all at the same time, and all ranks' together, by turns. `messages`: MPI between all ranks, without shared memory
// of berth's own; null on GPUs and for one rank. Throws Error(kUsage) for a --global-batch-size, as set_up does, and comm::AgreedError.
Measurement measure(const train::TrainOptions& options, comm::Communicator& comm, comm::Communicator* messages);

// All-reduces of gradients of 2 KiB, four times as many bytes, …, 32 MiB: of several the median, of the ranks the longest. Ends before a
// size that would probably take more than `seconds` in all. A collective call, for several ranks.
std::vector<Timing> time_all_reduces(comm::Communicator& comm, double seconds);

}  // namespace berth::scale
