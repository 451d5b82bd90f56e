#include "trainer/report/report.h"

#include <cmath>

namespace berth::train {
namespace {

double rounded(double value, double digits) { return std::round(value * digits) / digits; }

double rate(int64_t count, double seconds) { return seconds > 0 ? rounded(static_cast<double>(count) / seconds, 1e3) : 0.0; }

}  // namespace

Metrics scalars(const LogReport& report) {
  Metrics out = {{"epoch", report.epoch},
                 {"loss", report.loss},
                 {"learning_rate", report.learning_rate},
                 {"grad_norm", report.grad_norm},
                 {"tokens_per_second", rate(report.tokens, report.seconds)},
                 {"samples_per_second", rate(report.samples, report.seconds)}};
  if (report.skipped > 0) out.emplace_back("skipped_steps", static_cast<double>(report.skipped));
  return out;
}

Metrics scalars(const EvalReport& report) {
  Metrics out = {{"epoch", report.epoch}};
  for (const auto& [name, value] : report.metrics) out.emplace_back(report.prefix + "_" + name, value);
  return out;
}

Metrics scalars(const TrainSummary& summary) {
  Metrics out = {{"epoch", summary.epoch},
                 {"train_loss", summary.loss},
                 {"train_runtime", rounded(summary.seconds, 1e4)},
                 {"train_samples_per_second", rate(summary.samples, summary.seconds)},
                 {"train_steps_per_second", rate(summary.step, summary.seconds)},
                 {"train_tokens_per_second", rate(summary.tokens, summary.seconds)}};
  if (summary.skipped > 0) out.emplace_back("train_skipped_steps", static_cast<double>(summary.skipped));
  return out;
}

void add_speed(Metrics& metrics, double seconds, int64_t samples, int64_t steps) {
  metrics.emplace_back("runtime", rounded(seconds, 1e4));
  metrics.emplace_back("samples_per_second", rate(samples, seconds));
  metrics.emplace_back("steps_per_second", rate(steps, seconds));
}

}  // namespace berth::train
