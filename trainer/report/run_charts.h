// The curves of a run's page.
#pragma once

#include <string>
#include <vector>

#include "trainer/report/evaluations.h"

namespace berth::train {

// Loss, metrics, learning rate, gradient norm, speed by step, with what `marks` names in each. Curves of a single point are told in words.
std::string render_curves(const std::vector<LogRecord>& records, const Evaluations& evaluations, const std::vector<Mark>& marks);

// A chart in its frame; "" if no series has two points (or is of dots alone).
std::string framed(const Chart& chart);

}  // namespace berth::train
