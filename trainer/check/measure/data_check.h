// Whether the data set can be read by every rank, and what its samples say.
#pragma once

#include "trainer/check/finding.h"
#include "trainer/check/ranks.h"
#include "trainer/comm/communicator.h"
#include "trainer/run/train_options.h"

namespace berth::preflight {

// A collective call. Complete on rank 0.
Findings check_data(const train::TrainOptions& options, const std::vector<RankFacts>& ranks, comm::Communicator& comm);

}  // namespace berth::preflight
