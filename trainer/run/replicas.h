// All ranks hold the same parameters: checked at each save.
#pragma once

#include "trainer/comm/communicator.h"
#include "trainer/model/parameters.h"

namespace berth::train {

// A 64-bit hash of all parameters' bits (FNV-1a over 64-bit words in 8 interleaved lanes).
uint64_t parameter_hash(ParameterStore& parameters);

// Throws AgreedError(kDiverged) on all ranks, naming the ranks whose hash is not rank 0's. A collective call.
void check_replicas(ParameterStore& parameters, comm::Communicator& comm, int64_t step);

}  // namespace berth::train
