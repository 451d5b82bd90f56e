#include "trainer/report/report.h"

#include <cmath>

namespace berth::train {
namespace {

double rounded(double value, double digits) { return std::round(value * digits) / digits; }

double rate(int64_t count, double seconds) { return seconds > 0 ? rounded(static_cast<double>(count) / seconds, 1e3) : 0.0; }

}  // namespace

Metrics scalars(const LogReport& report) {
  Metrics out = {{"epoch", report.epoch, MetricKind::kOther},
                 {"loss", report.loss, MetricKind::kLoss},
                 {"learning_rate", report.learning_rate, MetricKind::kOther},
                 {"grad_norm", report.grad_norm, MetricKind::kOther},
                 {"tokens_per_second", rate(report.tokens, report.seconds), MetricKind::kSpeed},
                 {"samples_per_second", rate(report.samples, report.seconds), MetricKind::kSpeed}};
  if (report.skipped > 0) out.push_back({"skipped_steps", static_cast<double>(report.skipped), MetricKind::kCount});
  if (report.overflowed > 0) out.push_back({"overflowed_steps", static_cast<double>(report.overflowed), MetricKind::kCount});
  return out;
}

Metrics scalars(const EvalReport& report) {
  Metrics out = {{"epoch", report.epoch, MetricKind::kOther}};
  for (const Metric& metric : report.metrics) out.push_back({report.prefix + "_" + metric.name, metric.value, metric.kind});
  return out;
}

Metrics scalars(const TrainSummary& summary) {
  Metrics out = {{"epoch", summary.epoch, MetricKind::kOther},
                 {"train_loss", summary.loss, MetricKind::kLoss},
                 {"train_runtime", rounded(summary.seconds, 1e4), MetricKind::kSpeed},
                 {"train_samples_per_second", rate(summary.samples, summary.seconds), MetricKind::kSpeed},
                 {"train_steps_per_second", rate(summary.step, summary.seconds), MetricKind::kSpeed},
                 {"train_tokens_per_second", rate(summary.tokens, summary.seconds), MetricKind::kSpeed}};
  if (summary.skipped > 0) out.push_back({"train_skipped_steps", static_cast<double>(summary.skipped), MetricKind::kCount});
  if (summary.overflowed > 0)
    out.push_back({"train_overflowed_steps", static_cast<double>(summary.overflowed), MetricKind::kCount});
  return out;
}

void add_speed(Metrics& metrics, double seconds, int64_t samples, int64_t steps) {
  metrics.push_back({"runtime", rounded(seconds, 1e4), MetricKind::kSpeed});
  metrics.push_back({"samples_per_second", rate(samples, seconds), MetricKind::kSpeed});
  metrics.push_back({"steps_per_second", rate(steps, seconds), MetricKind::kSpeed});
}

}  // namespace berth::train
