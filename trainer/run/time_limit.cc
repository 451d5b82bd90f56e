#include "trainer/run/time_limit.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "data/check.h"
#include "data/words.h"

namespace berth::train {
namespace {

constexpr double kFading = 0.9;        // of an earlier, slower step or evaluation
constexpr double kSafety = 1.5;        // times what is expected
constexpr double kAtLeast = 1;         // second
constexpr int64_t kStepsToTell = 20;   // that a forecast is made of
constexpr double kSecondsToTell = 10;  //
constexpr double kMostSeconds = 1e9;

}  // namespace

TimeLimit::TimeLimit(std::optional<double> end, uint64_t bytes) : end_(end), save_(static_cast<double>(bytes) / kSlowDisk) {}

void TimeLimit::saw_step(double seconds) {
  step_ = std::max(seconds, kFading * step_);
  ++steps_;
}

void TimeLimit::saw_evaluation(double seconds) { evaluation_ = std::max(seconds, kFading * evaluation_); }

void TimeLimit::saw_save(double seconds) {
  if (seconds == last_save_) return;
  save_ = last_save_ == 0 ? seconds : std::max(seconds, kFading * save_);
  last_save_ = seconds;
}

double TimeLimit::margin(Ahead ahead) const {
  return kSafety * (step_ + (ahead.other_save ? 2 : 1) * save_ + (ahead.evaluation ? evaluation_ : 0)) + kAtLeast;
}

bool TimeLimit::reached(double now, Ahead ahead) const { return end_ && *end_ - now < margin(ahead); }

std::string TimeLimit::forecast(double now, int64_t steps_left) {
  if (!end_ || told_ || steps_ == 0) return "";
  if (first_step_ == 0) first_step_ = now;
  if (steps_ < kStepsToTell || now - first_step_ < kSecondsToTell) return "";
  told_ = true;
  const double a_step = (now - first_step_) / static_cast<double>(steps_ - 1);
  const double left = std::max(0.0, *end_ - now - margin({.evaluation = true})),
               needed = a_step * static_cast<double>(steps_left);
  if (needed <= left) return "this job has the time to finish";
  const auto in_time = static_cast<int64_t>(left / a_step);
  const double of_another =
      std::max(1.0, *end_ - first_step_ - margin({.evaluation = true}));  // its start takes as long as this one's
  const auto jobs = static_cast<int64_t>(std::ceil((needed - left) / of_another));
  return concat("this job has the time for about ", in_time, " of the ", counted(steps_left, "step"), " that are left: about ",
                counted(jobs, "more job"), " of its length ", jobs == 1 ? "is" : "are", " needed");
}

double parse_duration(const std::string& option, const std::string& text) {
  const auto fail_here = [&] { fail(ExitCode::kUsage, option, " ", text, ": expected seconds, or [D-]HH:MM:SS, or MM:SS"); };
  const size_t dash = text.find('-');
  double seconds = 0;
  std::string rest = text;
  const auto number = [&](const std::string& digits) {
    double value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size() || !(value >= 0)) fail_here();
    return value;
  };
  if (dash != std::string::npos) {
    seconds = number(text.substr(0, dash)) * 24;
    rest = text.substr(dash + 1);
  }
  int parts = 0;
  for (size_t at = 0; at <= rest.size();) {
    const size_t colon = std::min(rest.find(':', at), rest.size());
    seconds = (parts > 0 ? 60 * seconds : seconds) + number(rest.substr(at, colon - at));
    ++parts;
    at = colon + 1;
  }
  if (parts > 3 || (dash != std::string::npos && parts != 3) || !(seconds > 0) || seconds > kMostSeconds) fail_here();
  return seconds;
}

}  // namespace berth::train
