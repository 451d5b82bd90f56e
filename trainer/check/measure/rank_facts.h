// What each rank can tell of itself.
#pragma once

#include <string>
#include <vector>

#include "trainer/check/ranks.h"
#include "trainer/comm/communicator.h"

namespace berth::preflight {

// Of all ranks, on each of them; `own`: what the launcher knows of this one (versions of berth, cores, GPUs). A collective call.
std::vector<RankFacts> gather_facts(RankFacts own, comm::Communicator& comm);

// As judge_versions and judge_places say.
Findings check_ranks(const std::vector<RankFacts>& ranks, int launched, const std::string& gpu_problem);

}  // namespace berth::preflight
