// Turns the reports of single steps into the run's log: averages over logging intervals, totals, history, and hands them to the
// sinks. All of it outlives a resume: state() and log_history() go into each checkpoint, and a run that is resumed from it logs
// the same numbers as one that never stopped (times apart).
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "trainer/report/report.h"

namespace berth::train {

class RunLog {
 public:
  // `state` and `log_history` are a checkpoint's; a null state starts afresh. Throws Error(kBadInput) if they cannot be read.
  explicit RunLog(std::vector<std::unique_ptr<Sink>> sinks, const nlohmann::ordered_json& state = nullptr,
                  const nlohmann::ordered_json& log_history = nlohmann::ordered_json::array());

  // Training begins, at `done` of `total` steps; an evaluation has done so many of its samples.
  void started(int64_t done, int64_t total);
  void evaluating(int64_t done, int64_t total);

  // Takes in one step; `log_due` closes the interval with it.
  void step(const StepReport& report, bool log_due);
  void eval(const EvalReport& report);
  // The job ends here, and the run goes on in another one, which logs the interval.
  void stopped();
  // The run is complete: logs what the last interval still holds, then the summary of the whole run. `memory`: the most that a rank
  // of this job had; `device`: as TrainSummary::device.
  void finish(const MemoryPeak& memory = {}, const std::string& device = {});

  // trainer_state.json's log_history: a JSON array of the records that metrics.jsonl has too.
  const nlohmann::ordered_json& log_history() const { return history_; }
  // The sums behind all that.
  nlohmann::ordered_json state() const;

 private:
  struct Sums {
    LogReport report;  // its loss is a sum
    int64_t steps = 0;
    void add(const StepReport& step);
    double mean_loss() const;
    nlohmann::ordered_json to_json() const;
    static Sums from_json(const nlohmann::ordered_json& json);
  };
  void log_interval();
  TrainSummary summary() const;
  void remember(int64_t step, const Metrics& values);

  std::vector<std::unique_ptr<Sink>> sinks_;
  Sums interval_;  // since the last log
  Sums total_;
  nlohmann::ordered_json history_ = nlohmann::ordered_json::array();
};

}  // namespace berth::train
