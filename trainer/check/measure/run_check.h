// Whether a run can begin as its options ask, and what it will take.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "trainer/check/finding.h"
#include "trainer/check/ranks.h"
#include "trainer/comm/communicator.h"
#include "trainer/run/train_options.h"

namespace berth::preflight {

struct RunCheckOptions {
  std::optional<double> limit = {};         // seconds of the job; unset: not known
  std::string gpu_problem = {};             // why the ranks do not compute on GPUs as asked: nothing is measured then
  std::function<void()> check_folder = {};  // on rank 0: throws what else is wrong with the output folder
};

// Sets the run up as berth train would, without writing or changing anything, and takes a few steps. Adds to `findings`, which are complete
// on rank 0; what berth train would refuse are errors, in its words, unless they are there already. A collective call.
void check_run(train::TrainOptions options, const std::vector<RankFacts>& ranks, const RunCheckOptions& check,
               comm::Communicator& comm, Findings& findings);

}  // namespace berth::preflight
