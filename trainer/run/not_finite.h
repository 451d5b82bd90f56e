// What becomes of a run after a step whose loss or gradient is not finite (--on-nan).
#pragma once

#include <string>

#include "trainer/run/run_state.h"
#include "trainer/run/train_options.h"

namespace berth::train {

// A run that skips such steps has diverged after so many in a row, or more than this share of all its steps, but at least more
// than these.
inline constexpr int64_t kMostSkippedInARow = 10;
inline constexpr int64_t kMostSkippedPercent = 10, kMostSkippedOfFew = 3;

// Why a run in this state has skipped too many steps; "" if it may go on.
std::string too_many_skipped(const RunState& state);

// To be called on all ranks after such a step, counted in `state`, which changed nothing else. `culprit`: where it was
// (TrainStep). Throws comm::AgreedError(kDiverged) if the run is to stop at it, or has skipped too many; else rank 0 warns.
void stop_or_skip(const RunState& state, OnNan on_nan, const std::string& culprit, int rank);

}  // namespace berth::train
