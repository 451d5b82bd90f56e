#include "trainer/report/goodput.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace berth::train {
namespace {

using Json = nlohmann::ordered_json;

// Nothing but finite numbers that are not negative.
double number(const Json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  const double value = found != object.end() && found->is_number() ? found->get<double>() : 0;
  return std::isfinite(value) ? std::max(0.0, value) : 0;
}

}  // namespace

double Goodput::total() const {
  return std::accumulate(seconds.begin(), seconds.end(), 0.0, [](double sum, const auto& part) { return sum + part.second; });
}

double Goodput::ratio() const {
  const auto train = std::find_if(seconds.begin(), seconds.end(), [](const auto& part) { return part.first == "train"; });
  return total() > 0 ? train->second / total() : 0;
}

std::optional<Goodput> goodput_of(const Json& provenance) {
  const Json jobs = provenance.is_object() ? provenance.value("jobs", Json()) : Json();
  if (!jobs.is_array()) return std::nullopt;
  Goodput all{.seconds = {{"start", 0}, {"train", 0}, {"wait", 0}, {"evaluation", 0}, {"checkpoint", 0}, {"lost", 0}}};
  for (const Json& job : jobs) {
    const Json seconds = job.is_object() ? job.value("seconds", Json()) : Json();
    if (!seconds.is_object()) continue;
    ++all.jobs;
    all.lost_steps += static_cast<int64_t>(std::min(number(job, "lost_steps"), 1e15));
    for (auto& [name, sum] : all.seconds) sum += number(seconds, name.c_str());
  }
  return all.jobs > 0 && all.total() > 0 ? std::optional(all) : std::nullopt;
}

}  // namespace berth::train
