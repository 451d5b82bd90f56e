// What of the machine this rank may use.
#pragma once

#include <string>
#include <vector>

#include "trainer/comm/communicator.h"

namespace berth::launch {

std::string host_name();

// Tells this host from all others, also from those of the same name (containers) or the same boot_id (copies of one machine): both. One word.
std::string host_id();

// The cores that the scheduler lets this process run on.
std::vector<int> allowed_cores();

// A rank's share of its `own` cores: a core that n ranks of the host may use counts 1/n for each. `all`: the cores of each rank
// of the host. At least 1. (Two threads of a core, which share what computes, are one core here: placement.h, whole_cores.)
int fair_threads(const std::vector<int>& own, const std::vector<std::vector<int>>& all);

// Compute threads of this rank: OMP_NUM_THREADS if set, otherwise its fair share. Collective.
int choose_threads(comm::Communicator& comm);

// What the GPU library (trainer/gpu) says of this host.
struct VisibleGpus {
  int count = 0;
  std::string why;   // there are none that can be used
  std::string sign;  // by what the process was given some; empty: by nothing
};

// A rank's place among those of its host that see the same GPUs: Slurm may show each task its own, or those of its socket.
struct Place {
  int rank = 0, size = 1;
};
// `sees`: the GPUs that this rank sees, in their order. Collective.
Place place_among(comm::Communicator& comm, const std::string& sees);

// --device: "cpu", "cuda", "cuda:N" or "auto" (cuda where the process was given GPUs). Under "cuda" a rank takes the GPU of its
// place. The GPU's number, or -1 for the CPU. Throws Error(kUsage) if there is no such GPU, if GPUs that it was given cannot be used,
// or where more ranks see the same GPUs than there are of them.
int choose_gpu(const std::string& request, Place place, const VisibleGpus& gpus);

// Throws AgreedError where some ranks have a GPU and others have none, whose collectives would not match, or two ranks have the same one,
// which NCCL refuses in words of its own. `gpu`: this rank's PCI address; "": none. `slices`: parts of a GPU (MIG) count as GPUs, as NCCL does not
// let them. Collective.
void check_gpus(comm::Communicator& comm, const std::string& gpu, bool slices);

}  // namespace berth::launch
