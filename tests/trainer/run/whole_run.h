// Whole runs of a tiny model, and what they tell.
#pragma once

#include <map>

#include "tests/trainer/run/tiny_run.h"
#include "trainer/run/train_loop.h"

namespace berth::train {

namespace fs = std::filesystem;

// What a run told its listeners.
struct Heard {
  int64_t started_at = -1, total = 0;
  std::vector<int64_t> steps, logs, evaluations;
  std::vector<double> losses;
  int64_t evaluated = 0;  // samples, of the last evaluation
  int64_t skipped = 0, stopped = 0, finished = 0;
};
class Listener : public Sink {
 public:
  explicit Listener(Heard& heard) : heard_(heard) {}
  void started(int64_t done, int64_t total) override { heard_.started_at = done, heard_.total = total; }
  void evaluating(int64_t done, int64_t) override { heard_.evaluated = done; }
  void step(const StepReport& report) override { heard_.steps.push_back(report.step), heard_.skipped += report.skipped; }
  void log(const LogReport& report) override { heard_.logs.push_back(report.step), heard_.losses.push_back(report.loss); }
  void eval(const EvalReport& report) override { heard_.evaluations.push_back(report.step); }
  void stopped() override { ++heard_.stopped; }
  void finish(const TrainSummary&) override { ++heard_.finished; }

 private:
  Heard& heard_;
};

class TrainLoopTest : public TinyRun {
 protected:
  struct Result {
    TrainOutcome outcome = TrainOutcome::kDone;
    Heard heard;
  };
  // `stop_after`: asked to stop when so many steps were made by this call; -1: never.
  Result run_with(const TrainOptions& o, int64_t stop_after = -1) {
    Result result;
    TrainHooks hooks{.stop = [&] { return std::ssize(result.heard.steps) == stop_after; }};
    hooks.sinks.push_back(std::make_unique<Listener>(result.heard));
    const RunFolder folder(o, *comm_);
    result.outcome = train(o, folder, *comm_, std::move(hooks));
    return result;
  }
  TrainOptions in(const std::string& folder) const {
    TrainOptions o = options();
    o.output_dir = folder_ / folder;
    return o;
  }
  std::string bytes(const std::string& path) const { return test::read_bytes(folder_ / path); }
  std::vector<int64_t> checkpoints(const std::string& run) const {
    std::vector<int64_t> steps;
    for (const Checkpoint& checkpoint : list_checkpoints(folder_ / run)) steps.push_back(checkpoint.step);
    return steps;
  }
  nlohmann::json state(const std::string& folder) const { return nlohmann::json::parse(bytes(folder + "/trainer_state.json")); }
};

}  // namespace berth::train
