#include "launcher/trial_runner.h"

#include <algorithm>
#include <array>
#include <boost/log/trivial.hpp>

#include "data/check.h"
#include "data/files/files.h"
#include "launcher/logging.h"
#include "launcher/signals.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/comm/agree.h"
#include "trainer/metrics/metrics.h"

namespace berth::launch {
namespace {

namespace fs = std::filesystem;

std::string name_in(const std::string& argument) { return argument.substr(2, argument.find('=') - 2); }

// Ends a run that has been evaluated after `share` of its steps. On its rank 0.
class Pause : public train::Sink {
 public:
  Pause(double share, bool& paused) : share_(share), paused_(paused) {}
  void started(int64_t, int64_t total) override { wanted_ = share_ * static_cast<double>(total); }
  void log(const train::LogReport&) override {}
  void eval(const train::EvalReport& report) override { paused_ = paused_ || static_cast<double>(report.step) >= wanted_; }
  void finish(const train::TrainSummary&) override {}

 private:
  double share_, wanted_ = 0;
  bool& paused_;
};

}  // namespace

TrialRunner::TrialRunner(const SweepCommand& command, const train::SweepPlan& plan, const std::string& log_level, Rank& rank)
    : command_(command),
      options_(command.train.options),
      plan_(plan),
      log_level_(log_level),
      rank_(rank),
      claims_(options_.output_dir),
      metric_("eval_" + options_.eval_save.best_model().name()),
      greater_(options_.eval_save.greater_is_better.value_or(train::greater_is_better(train::metric_kind(metric_)))),
      others_(claims_.stop_mark()),
      asked_(options_.output_dir / kStopFile) {}

bool TrialRunner::gives(const std::string& option) {
  constexpr std::array kOptions{"seed", "output-dir", "overwrite-output-dir"};
  return std::find(kOptions.begin(), kOptions.end(), option) != kOptions.end();
}

std::vector<std::string> TrialRunner::arguments_of(size_t trial) const {
  const train::Trial& it = plan_.trials[trial];
  std::vector<std::string> arguments{"train"};
  for (const std::string& argument : command_.train_arguments)
    if (!gives(name_in(argument))) arguments.push_back(argument);
  for (const auto& [option, value] : plan_.configurations[it.configuration])
    arguments.push_back(concat("--", option, "=", value));
  arguments.push_back(concat("--seed=", it.seed));
  if (it.fold) arguments.push_back(concat("--fold=", *it.fold));
  arguments.push_back(concat("--output-dir=", folder_of(trial).string()));
  return arguments;
}

CommandLine TrialRunner::command_of(size_t trial) const {
  return in_context([&] { return title_of(trial); },
                    [&] {
                      CommandLine line = parse_command_line(arguments_of(trial));
                      const train::TrainOptions& options = std::get<TrainCommand>(line.command).options;
                      options.validate();
                      check_usage(options.eval_save.eval_strategy != train::Strategy::kNo,
                                  "a sweep compares evaluations: say when with --eval-strategy epoch or steps");
                      return line;
                    });
}

std::string TrialRunner::title_of(size_t trial) const {
  const train::Trial& it = plan_.trials[trial];
  return concat(train::name_of(it), " (", train::to_string(plan_.configurations[it.configuration]), ")");
}

const train::TrialProgress::Evaluation* TrialRunner::counting(const train::TrialProgress& progress, double share) const {
  if (options_.eval_save.load_best_model_at_end) return progress.best(metric_, greater_, share);
  const auto* last = progress.last(share);
  return last != nullptr && train::value_of(last->metrics, metric_) ? last : nullptr;
}

bool TrialRunner::told_to_stop() { return stop_signal() != 0 || others_.is_there() || asked_.is_there(); }

// Takes the trial, unless it has trained for `share` of its steps already. On all ranks of the group.
bool TrialRunner::begin(const fs::path& run, size_t trial, double share, int64_t most_starts) {
  int64_t begins = 0;
  comm::agree_on_root(rank_.comm, [&] {
    data::make_folders(run);
    if (train::read_trial(run).has_trained(share)) return;
    const std::vector<train::Checkpoint> checkpoints = train::list_checkpoints(run);
    const int64_t step = checkpoints.empty() ? 0 : checkpoints.back().step;
    train::TrialRecord record = train::TrialRecord::read(run);
    if (record.step != step) record.starts = 0;
    if (record.starts >= most_starts) {
      end(run, trial, share, static_cast<int>(ExitCode::kInternal),
          concat("the job ended ", record.starts, " times in the middle of it, without a checkpoint after step ", step));
      return;
    }
    record = {.arguments = train::that_count(arguments_of(trial)),
              .starts = record.starts + 1,
              .step = step,
              .exit_code = 0,
              .error = ""};
    record.write(run);
    BOOST_LOG_TRIVIAL(info) << title_of(trial) << (step > 0 ? concat(" goes on from step ", step) : " begins");
    begins = 1;
  });
  rank_.comm.all_reduce_max(std::span<int64_t>(&begins, 1));
  return begins != 0;
}

TrialRunner::Outcome TrialRunner::train(size_t trial, double share, int64_t most_starts) {
  const fs::path run = folder_of(trial);
  if (!begin(run, trial, share, most_starts)) return Outcome::kOver;
  const CommandLine line = command_of(trial);
  const bool first = rank_.comm.rank() == 0;
  bool paused = false;
  std::vector<std::unique_ptr<train::Sink>> sinks;
  if (first && share < 1) sinks.push_back(std::make_unique<Pause>(share, paused));
  std::unique_ptr<RunLogging> logging;
  auto outcome = train::TrainOutcome::kDone;
  int exit_code = 0;
  std::string error;
  try {
    outcome = train_on(
        rank_, std::get<TrainCommand>(line.command), {line.text, line.for_shell, line.options, line.changed_options},
        std::chrono::steady_clock::now(), [&] { return paused || (first ? told_to_stop() : stop_signal() != 0); },
        std::move(sinks),
        [&] {
          logging = std::make_unique<RunLogging>(train::name_of(plan_.trials[trial]), first ? run / "berth.log" : "", log_level_,
                                                 rank_.console);
        });
  } catch (const std::exception& exception) {
    // What all ranks of the group know, so that all of them go on to the next trial; a broken machine is everybody's affair.
    const Error known = as_error(exception);
    const bool agreed = dynamic_cast<const comm::AgreedError*>(&exception) != nullptr || known.code() == ExitCode::kDiverged;
    if (known.code() == ExitCode::kInternal || (!agreed && rank_.comm.size() > 1)) throw;
    exit_code = static_cast<int>(known.code());
    error = known.what();
  }
  logging.reset();
  int64_t told = outcome == train::TrainOutcome::kStoppedEarly && first && !paused;
  rank_.comm.all_reduce_max(std::span<int64_t>(&told, 1));
  comm::agree_on_root(rank_.comm, [&] {
    end(run, trial, share, exit_code, error);
    if (told != 0) claims_.stop_all();
  });
  return told != 0 ? Outcome::kStopped : Outcome::kOver;
}

// On rank 0 of a group.
void TrialRunner::end(const fs::path& run, size_t trial, double share, int exit_code, std::string error) {
  const train::TrialProgress progress = train::read_trial(run);
  if (exit_code == 0 && progress.complete && progress.evaluations.empty()) {
    exit_code = static_cast<int>(ExitCode::kUsage);
    error = concat("it was never evaluated in its ", progress.total_steps, " steps: --eval-delay says from when on");
  }
  train::TrialRecord record = train::TrialRecord::read(run);
  const std::vector<train::Checkpoint> checkpoints = train::list_checkpoints(run);
  record.starts = 0;
  record.step = checkpoints.empty() ? 0 : checkpoints.back().step;
  record.exit_code = exit_code;
  record.error = error;
  record.write(run);
  if (exit_code != 0) {
    BOOST_LOG_TRIVIAL(warning) << title_of(trial) << " failed (exit code " << exit_code << "): " << error;
    return;
  }
  const auto* counts = counting(progress, share);
  std::string text = title_of(trial) + (progress.complete ? " is complete" : concat(" has come to step ", progress.step));
  if (counts != nullptr) text += concat(": ", metric_, " ", *train::value_of(counts->metrics, metric_));
  BOOST_LOG_TRIVIAL(info) << text;
  if (progress.complete) train::drop_checkpoints(run);
}

}  // namespace berth::launch
