// A training step on a machine, simulated on SimGrid.
#pragma once

#include "trainer/scale/scaling.h"

namespace berth::scale {

// Seconds of the step on all ranks of `one`, all beginning at the same time. Each rank computes as long as it was measured to; its buckets are
// reduced one after the other beside backward, and the cores that sum in shared memory are those that compute. A process can do this once.
double simulate(const Case& one);

}  // namespace berth::scale
