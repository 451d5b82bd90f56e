// How much of a run's time made it better: the share of training that stayed, over all its jobs (as "goodput" is used of large clusters).
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace berth::train {

struct Goodput {
  // Seconds of all jobs, by the names of provenance.json: "start", "train", "wait" (for the slowest rank), "evaluation", "checkpoint", "lost".
  std::vector<std::pair<std::string, double>> seconds;
  int64_t jobs = 0, lost_steps = 0;

  double total() const;
  double ratio() const;  // of "train" to the total
};

// Of a provenance.json; unset if it does not say.
std::optional<Goodput> goodput_of(const nlohmann::ordered_json& provenance);

}  // namespace berth::train
