// What a run's memory and time are on these ranks, by a few of its passes and steps. Nothing is learned: steps are taken at the learning
// rate 0.
#pragma once

#include <optional>
#include <string>

#include "trainer/check/ranks.h"
#include "trainer/check/resources.h"
#include "trainer/comm/communicator.h"
#include "trainer/run/train_options.h"
#include "trainer/run/train_setup.h"

namespace berth::preflight {

// The largest micro-batch, forward and backward.
struct PassTime {
  double seconds = 0;  // of the slowest rank
  int64_t tokens = 0;
};

// Passes the largest micro-batch through the model of each rank: MemoryFacts::micro_batch, fits and advice, and of a GPU what it took beyond
// what was held (`bytes`). A collective call. Throws comm::AgreedError.
PassTime pass_largest(const train::TrainOptions& options, const train::TrainSetup& setup, comm::Communicator& comm,
                      MemoryFacts& memory, double& bytes);

// MemoryFacts' other numbers, when passes and steps are done. A collective call.
void look_at_memory(const std::vector<RankFacts>& ranks, comm::Communicator& comm, double bytes, MemoryFacts& memory);

struct StepTime {
  double seconds = 0;           // of a step of the run
  int64_t samples = 0;          // of the steps measured: fewer than the run's, where those would take long
  std::string not_finite = {};  // why the first step is not finite; "": it is
};
// A collective call; throws comm::AgreedError.
StepTime time_steps(const train::TrainOptions& options, train::TrainSetup& setup, const PassTime& pass, comm::Communicator& comm);

// Seconds that an evaluation takes, by one of the first samples. A collective call; throws comm::AgreedError.
double time_evaluation(const train::TrainOptions& options, const train::TrainSetup& setup, const PassTime& pass,
                       comm::Communicator& comm);

}  // namespace berth::preflight
