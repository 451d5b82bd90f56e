// All ranks hold the same parameters: checked at each save. Ranks that share them (comm::Sharers) have one copy, which is compared with those of
// other hosts.
#pragma once

#include "trainer/comm/communicator.h"
#include "trainer/model/parameters.h"

namespace berth::train {

// A 64-bit hash of all parameters' bits: of a bucket the sum of w[i] (2 i + 1) mod 2^64 over its 64-bit words w, so that one that
// differs always shows, and threads may add in any order; of the buckets FNV-1a. The same on every device, which computes it in its own memory.
uint64_t parameter_hash(const ParameterStore& parameters);

// Throws AgreedError(kDiverged) on all ranks, naming the ranks whose hash is not rank 0's. A collective call.
void check_replicas(const ParameterStore& parameters, comm::Communicator& comm, int64_t step);

}  // namespace berth::train
