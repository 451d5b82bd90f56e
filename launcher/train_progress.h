// A training run for people: the progress line of training and of its evaluations, and a log line for each report.
#pragma once

#include <memory>
#include <optional>

#include "launcher/progress.h"
#include "trainer/report/report.h"

namespace berth::launch {

// Rank 0 only. Log lines go through Boost.Log, so berth.log has them too.
class TrainProgress : public train::Sink {
 public:
  // `bar`: draw a progress line where the console is a terminal.
  TrainProgress(std::shared_ptr<Console> console, bool bar, Clock clock = steady_clock());

  void started(int64_t done, int64_t total) override;
  void evaluating(int64_t done, int64_t total) override;
  void step(const train::StepReport& report) override;
  void log(const train::LogReport& report) override;
  void eval(const train::EvalReport& report) override;
  void stopped() override;
  void finish(const train::TrainSummary& summary) override;

 private:
  std::shared_ptr<Console> console_;
  bool bar_;
  Clock clock_;
  int64_t total_ = 0;
  std::optional<Progress> training_, evaluation_;
  double recent_tokens_ = 0, recent_seconds_ = 0;  // of the last steps, the weight of older ones fading
};

std::string describe(const train::LogReport& report, int64_t total_steps);
std::string describe(const train::EvalReport& report);
std::string describe(const train::TrainSummary& summary);

}  // namespace berth::launch
