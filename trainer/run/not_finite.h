// What becomes of a run after a step whose loss or gradient is not finite (--on-nan), or overflowed for fp16's loss scale.
#pragma once

#include <string>

#include "trainer/run/run_state.h"
#include "trainer/run/train_options.h"
#include "trainer/run/train_step.h"

namespace berth::train {

// A run that skips such steps has diverged after so many in a row, or more than this share of all its steps, but at least more
// than these.
inline constexpr int64_t kMostSkippedInARow = 10;
inline constexpr int64_t kMostSkippedPercent = 10, kMostSkippedOfFew = 3;

// Why a run in this state has skipped too many steps; "" if it may go on.
std::string too_many_skipped(const RunState& state);

// Whether only the loss scale was too large: such a step is counted in `state`, rank 0 says so, and the run goes on with a smaller one.
// (Where the scale is 1 the gradient itself is not finite, and no step is excused so.)
bool overflow_is_skipped(RunState& state, const StepResult& result, int rank);

// To be called on all ranks after any other such step, counted in `state`, which changed nothing else. `culprit`: where it was
// (TrainStep). Throws comm::AgreedError(kDiverged) if the run is to stop at it, or has skipped too many; else rank 0 warns.
void stop_or_skip(const RunState& state, OnNan on_nan, const std::string& culprit, int rank);

}  // namespace berth::train
