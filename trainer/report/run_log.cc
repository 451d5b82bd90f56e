#include "trainer/report/run_log.h"

#include <limits>

#include "data/check.h"
#include "data/json/members.h"
#include "trainer/report/metrics_file.h"

namespace berth::train {

namespace {

// What is not finite is null in JSON.
double number(const nlohmann::ordered_json& value) {
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
}

}  // namespace

void RunLog::Sums::add(const StepReport& step) {
  ++steps;
  report.step = step.step;
  report.epoch = step.epoch;
  report.learning_rate = step.learning_rate;
  report.tokens += step.tokens;
  report.samples += step.samples;
  report.seconds += step.seconds;
  report.flops += step.flops;
  report.most_flops += step.most_flops;
  report.memory.raise(step.memory);
  if (step.skipped) {
    ++report.skipped;
    return;
  }
  report.loss += step.loss;
  if (step.overflowed)
    ++report.overflowed;
  else
    report.grad_norm = step.grad_norm;
}

double RunLog::Sums::mean_loss() const {
  const int64_t counted = steps - report.skipped;
  return counted > 0 ? report.loss / static_cast<double>(counted) : std::numeric_limits<double>::quiet_NaN();
}

nlohmann::ordered_json RunLog::Sums::to_json() const {
  return {{"step", report.step},
          {"epoch", report.epoch},
          {"loss_sum", report.loss},
          {"learning_rate", report.learning_rate},
          {"grad_norm", report.grad_norm},
          {"tokens", report.tokens},
          {"samples", report.samples},
          {"seconds", report.seconds},
          {"skipped", report.skipped},
          {"overflowed", report.overflowed},
          {"steps", steps},
          {"flops", json_value(report.flops)},
          {"most_flops", json_value(report.most_flops)},
          {"mem_cpu_peak", report.memory.cpu},
          {"mem_gpu_peak", report.memory.gpu}};
}

RunLog::Sums RunLog::Sums::from_json(const nlohmann::ordered_json& json) {
  Sums sums;
  using data::read_member;
  read_member(json, "step", sums.report.step);
  read_member(json, "epoch", sums.report.epoch);
  read_member(json, "loss_sum", sums.report.loss);
  read_member(json, "learning_rate", sums.report.learning_rate);
  read_member(json, "grad_norm", sums.report.grad_norm);
  read_member(json, "tokens", sums.report.tokens);
  read_member(json, "samples", sums.report.samples);
  read_member(json, "seconds", sums.report.seconds);
  read_member(json, "skipped", sums.report.skipped);
  if (json.contains("overflowed")) read_member(json, "overflowed", sums.report.overflowed);
  read_member(json, "steps", sums.steps);
  if (!json.contains("flops")) {  // of a berth that did not count them
    sums.report.flops = sums.report.most_flops = std::numeric_limits<double>::quiet_NaN();
    return sums;
  }
  sums.report.flops = number(json.at("flops"));
  sums.report.most_flops = number(json.at("most_flops"));
  read_member(json, "mem_cpu_peak", sums.report.memory.cpu);
  read_member(json, "mem_gpu_peak", sums.report.memory.gpu);
  return sums;
}

RunLog::RunLog(std::vector<std::unique_ptr<Sink>> sinks, const nlohmann::ordered_json& state,
               const nlohmann::ordered_json& log_history)
    : sinks_(std::move(sinks)) {
  if (state.is_null()) return;
  try {
    interval_ = Sums::from_json(state.at("interval"));
    total_ = Sums::from_json(state.at("total"));
    history_ = log_history;
    check(history_.is_array(), "its log_history is not a list");
  } catch (const std::exception& error) {
    fail(ExitCode::kBadInput, "the checkpoint's log state cannot be read: ", error.what(), "; resume from an older checkpoint");
  }
}

void RunLog::started(int64_t done, int64_t total) {
  for (auto& sink : sinks_) sink->started(done, total);
}

void RunLog::evaluating(int64_t done, int64_t total) {
  for (auto& sink : sinks_) sink->evaluating(done, total);
}

void RunLog::step(const StepReport& report, bool log_due) {
  interval_.add(report);
  total_.add(report);
  for (auto& sink : sinks_) sink->step(report);
  if (log_due) log_interval();
}

void RunLog::log_interval() {
  LogReport report = interval_.report;
  report.loss = interval_.mean_loss();
  interval_ = {};
  remember(report.step, scalars(report));
  for (auto& sink : sinks_) sink->log(report);
}

void RunLog::eval(const EvalReport& report) {
  remember(report.step, scalars(report));
  for (auto& sink : sinks_) sink->eval(report);
}

void RunLog::stopped() {
  if (interval_.steps == 0) return;
  for (auto& sink : sinks_) sink->stopped();
}

void RunLog::finish(const MemoryPeak& memory, const std::string& device) {
  if (interval_.steps > 0) log_interval();
  total_.report.memory.raise(memory);
  TrainSummary whole = summary();
  whole.device = device;
  history_.push_back(make_record(whole));
  for (auto& sink : sinks_) sink->finish(whole);
}

TrainSummary RunLog::summary() const {
  const LogReport& sums = total_.report;
  return {.step = sums.step,
          .epoch = sums.epoch,
          .loss = total_.mean_loss(),
          .seconds = sums.seconds,
          .tokens = sums.tokens,
          .samples = sums.samples,
          .flops = sums.flops,
          .most_flops = sums.most_flops,
          .memory = sums.memory,
          .skipped = sums.skipped,
          .overflowed = sums.overflowed};
}

void RunLog::remember(int64_t step, const Metrics& values) { history_.push_back(make_record(step, values)); }

nlohmann::ordered_json RunLog::state() const { return {{"interval", interval_.to_json()}, {"total", total_.to_json()}}; }

}  // namespace berth::train
