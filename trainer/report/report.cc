#include "trainer/report/report.h"

#include <algorithm>
#include <cmath>

namespace berth::train {
namespace {

double rounded(double value, double digits) { return std::round(value * digits) / digits; }

// Names begin with `prefix`.
void add_use(Metrics& metrics, const std::string& prefix, double flops, double most_flops, const MemoryPeak& memory) {
  if (most_flops > 0) metrics.push_back({prefix + "mfu", rounded(flops / most_flops, 1e4), MetricKind::kSpeed});
  if (memory.cpu > 0) metrics.push_back({prefix + "mem_cpu_peak", static_cast<double>(memory.cpu), MetricKind::kCount});
  if (memory.gpu > 0) metrics.push_back({prefix + "mem_gpu_peak", static_cast<double>(memory.gpu), MetricKind::kCount});
}

double rate(int64_t count, double seconds) { return seconds > 0 ? rounded(static_cast<double>(count) / seconds, 1e3) : 0.0; }

}  // namespace

void MemoryPeak::raise(const MemoryPeak& other) {
  cpu = std::max(cpu, other.cpu);
  gpu = std::max(gpu, other.gpu);
}

Metrics scalars(const LogReport& report) {
  Metrics out = {{"epoch", report.epoch, MetricKind::kOther},
                 {"loss", report.loss, MetricKind::kLoss},
                 {"learning_rate", report.learning_rate, MetricKind::kOther},
                 {"grad_norm", report.grad_norm, MetricKind::kOther},
                 {"tokens_per_second", rate(report.tokens, report.seconds), MetricKind::kSpeed},
                 {"samples_per_second", rate(report.samples, report.seconds), MetricKind::kSpeed}};
  add_use(out, "", report.flops, report.most_flops, report.memory);
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
  if (summary.flops > 0) out.push_back({"total_flos", summary.flops, MetricKind::kOther});
  add_use(out, "train_", summary.flops, summary.most_flops, summary.memory);
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
