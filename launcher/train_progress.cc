#include "launcher/train_progress.h"

#include <boost/log/trivial.hpp>
#include <cmath>
#include <cstdio>

#include "data/check.h"
#include "data/words.h"

namespace berth::launch {
namespace {

constexpr double kFading = 0.95;  // per step

std::string epoch(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "epoch %.2f", value);
  return text;
}

std::string percent_of_peak(double flops, double most_flops) {
  if (!(most_flops > 0)) return "";
  char text[64];
  std::snprintf(text, sizeof(text), ", MFU %.1f %%", 100 * flops / most_flops);
  return text;
}

// That which may run out: the GPU's, where there is one.
std::string peak_memory(const train::MemoryPeak& memory) {
  const int64_t bytes = memory.gpu > 0 ? memory.gpu : memory.cpu;
  if (bytes == 0) return "";
  char text[64];
  std::snprintf(text, sizeof(text), ", %s %.2f GiB", memory.gpu > 0 ? "GPU memory" : "memory", std::ldexp(bytes, -30));
  return text;
}

std::string rate(double tokens, double seconds) { return seconds > 0 ? format_count(tokens / seconds) + " tokens/s" : ""; }

}  // namespace

std::string describe(const train::LogReport& report, int64_t total_steps) {
  std::string text =
      concat("step ", report.step, "/", total_steps, ", ", epoch(report.epoch), ", loss ", format_number(report.loss), ", lr ",
             format_number(report.learning_rate), ", grad norm ", format_number(report.grad_norm));
  if (const std::string speed = rate(static_cast<double>(report.tokens), report.seconds); !speed.empty()) text += ", " + speed;
  text += percent_of_peak(report.flops, report.most_flops) + peak_memory(report.memory);
  if (report.skipped > 0) text += ", " + counted(report.skipped, "step") + " skipped: not finite";
  if (report.overflowed > 0) text += ", " + counted(report.overflowed, "step") + " skipped: fp16 overflowed";
  return text;
}

std::string describe(const train::EvalReport& report) {
  std::string text = concat("step ", report.step, ", ", epoch(report.epoch));
  for (const train::Metric& metric : report.metrics)
    text += concat(", ", report.prefix, "_", metric.name, " ", format_number(metric.value));
  return text;
}

std::string describe(const train::TrainSummary& summary) {
  std::string text = concat("trained ", counted(summary.step, "step"), ", ", epoch(summary.epoch), ", in ",
                            format_duration(summary.seconds), ": train_loss ", format_number(summary.loss));
  if (const std::string speed = rate(static_cast<double>(summary.tokens), summary.seconds); !speed.empty()) text += ", " + speed;
  text += percent_of_peak(summary.flops, summary.most_flops) + peak_memory(summary.memory);
  if (!summary.device.empty()) text += ", on " + summary.device;
  if (summary.skipped > 0) text += ", " + counted(summary.skipped, "step") + " skipped: not finite";
  if (summary.overflowed > 0) text += ", " + counted(summary.overflowed, "step") + " skipped: fp16 overflowed";
  return text;
}

TrainProgress::TrainProgress(std::shared_ptr<Console> console, bool bar, Clock clock)
    : console_(std::move(console)), bar_(bar), clock_(std::move(clock)) {}

void TrainProgress::started(int64_t done, int64_t total) {
  total_ = total;
  training_.emplace(console_, ProgressState{.label = "train", .done = done, .total = total}, Progress::Options{.bar = bar_},
                    clock_);
}

void TrainProgress::evaluating(int64_t done, int64_t total) {
  if (!evaluation_) {
    evaluation_.emplace(console_, ProgressState{.label = "evaluate", .total = total}, Progress::Options{.bar = bar_}, clock_);
  }
  evaluation_->update(done);
  if (done >= total) evaluation_.reset();
}

void TrainProgress::step(const train::StepReport& report) {
  recent_tokens_ = kFading * recent_tokens_ + static_cast<double>(report.tokens);
  recent_seconds_ = kFading * recent_seconds_ + report.seconds;
  if (training_) {
    training_->update(report.step, {"loss " + format_number(report.loss), rate(recent_tokens_, recent_seconds_),
                                    epoch(report.epoch), "lr " + format_number(report.learning_rate)});
  }
}

void TrainProgress::log(const train::LogReport& report) {
  const std::string left = training_ ? time_left(training_->state()) : "";
  if (training_) training_->telling();
  BOOST_LOG_TRIVIAL(info) << describe(report, total_) << (left.empty() ? "" : ", ") << left;
}

void TrainProgress::eval(const train::EvalReport& report) {
  evaluation_.reset();
  if (training_) training_->telling();
  BOOST_LOG_TRIVIAL(info) << describe(report);
}

// A job shorter than a logging interval says what its losses are, too.
void TrainProgress::stopped() {
  const std::string how_far = training_ ? render_plain(training_->state()) : "";
  training_.reset();
  if (!how_far.empty()) BOOST_LOG_TRIVIAL(info) << how_far;
}

void TrainProgress::finish(const train::TrainSummary& summary) {
  training_.reset();
  BOOST_LOG_TRIVIAL(info) << describe(summary);
}

}  // namespace berth::launch
