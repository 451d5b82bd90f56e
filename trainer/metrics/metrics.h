// What metrics are handed on as.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace berth::train {

// Names and values, in the order in which they are written.
using Metrics = std::vector<std::pair<std::string, double>>;

}  // namespace berth::train
