// What of the machine this rank may use.
#pragma once

#include <string>
#include <vector>

#include "trainer/comm/communicator.h"

namespace berth::launch {

std::string host_name();

// The cores that the scheduler lets this process run on.
std::vector<int> allowed_cores();

// A rank's share of its `own` cores: a core that n ranks of the host may use counts 1/n for each. `all`: the cores of each rank
// of the host. At least 1.
int fair_threads(const std::vector<int>& own, const std::vector<std::vector<int>>& all);

// Compute threads of this rank: OMP_NUM_THREADS if set, otherwise its fair share. Collective.
int choose_threads(comm::Communicator& comm);

// What the GPU library (trainer/gpu) says of this host.
struct VisibleGpus {
  int count = 0;
  std::string why;   // there are none that can be used
  std::string sign;  // by what the process was given some; empty: by nothing
};

// --device: "cpu", "cuda", "cuda:N" or "auto" (cuda where the process was given GPUs). Under "cuda" a rank takes the GPU of its local
// rank, or the only one it is shown (Slurm may show each task its own GPU as number 0). The GPU's number, or -1 for the CPU. Throws
// Error(kUsage) if there is no such GPU, if GPUs that it was given cannot be used, or for more ranks than GPUs on the host.
int choose_gpu(const std::string& request, int local_rank, int local_size, const VisibleGpus& gpus);

}  // namespace berth::launch
