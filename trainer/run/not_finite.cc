#include "trainer/run/not_finite.h"

#include <algorithm>
#include <boost/log/trivial.hpp>

#include "data/check.h"
#include "trainer/comm/agree.h"

namespace berth::train {

std::string too_many_skipped(const RunState& state) {
  if (state.skipped_in_a_row >= kMostSkippedInARow) return concat("the last ", state.skipped_in_a_row, " steps were all skipped");
  const int64_t skipped = state.global_step - state.optimizer_steps;
  if (skipped > std::max(kMostSkippedOfFew, state.horizon.total_steps * kMostSkippedPercent / 100))
    return concat(skipped, " of ", state.global_step, " steps were skipped");
  return "";
}

void stop_or_skip(const RunState& state, OnNan on_nan, const std::string& culprit, int rank) {
  const std::string where = concat("step ", state.global_step, " is not finite: ", culprit);
  if (on_nan == OnNan::kStop)
    throw comm::AgreedError(
        ExitCode::kDiverged,
        where + ". Nothing was updated; lower --learning-rate, look at these samples, or skip such steps with --on-nan skip");
  if (const std::string why = too_many_skipped(state); !why.empty())
    throw comm::AgreedError(ExitCode::kDiverged,
                            concat(where, "; ", why, ": the run has diverged. Lower --learning-rate, and go on ",
                                   "from an earlier checkpoint or start anew"));
  if (rank == 0) BOOST_LOG_TRIVIAL(warning) << where << "; skipped";
}

}  // namespace berth::train
