#include "trainer/run/not_finite.h"

#include <algorithm>
#include <boost/log/trivial.hpp>
#include <utility>

#include "data/check.h"
#include "trainer/comm/agree.h"

namespace berth::train {

std::string too_many_skipped(const RunState& state) {
  if (state.skipped_in_a_row >= kMostSkippedInARow) return concat("the last ", state.skipped_in_a_row, " steps were all skipped");
  const int64_t skipped = state.global_step - state.optimizer_steps - state.overflowed_steps;
  if (skipped > std::max(kMostSkippedOfFew, state.horizon.total_steps * kMostSkippedPercent / 100))
    return concat(skipped, " of ", state.global_step, " steps were skipped");
  return "";
}

bool overflow_is_skipped(RunState& state, const StepResult& result, int rank) {
  if (!state.loss_scale) return false;
  const float before = std::exchange(state.loss_scale, result.loss_scale)->scale;
  if (!result.overflowed) return false;
  ++state.overflowed_steps;
  if (rank == 0)
    BOOST_LOG_TRIVIAL(info) << "step " << state.global_step << " overflowed in fp16 with the loss scale " << before
                            << "; skipped, the scale is now " << result.loss_scale.scale;
  return true;
}

void stop_or_skip(const RunState& state, OnNan on_nan, const std::string& culprit, int rank) {
  std::string where = concat("step ", state.global_step, " is not finite: ", culprit);
  if (state.loss_scale && state.loss_scale->scale <= 1)
    where += "; fp16's loss scale is down to 1, and --bf16 has a larger range";
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
