#include "launcher/cmd_sweep.h"

#include <algorithm>
#include <array>
#include <boost/log/trivial.hpp>
#include <cmath>
#include <iostream>
#include <numeric>

#include "data/check.h"
#include "data/files/files.h"
#include "data/json/json.h"
#include "data/store/folds.h"
#include "data/words.h"
#include "launcher/options.h"
#include "launcher/signals.h"
#include "launcher/trial_runner.h"
#include "launcher/version.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/run_owner.h"
#include "trainer/comm/agree.h"
#include "trainer/sweep/ranking.h"
#include "trainer/sweep/sweep_folder.h"
#include "trainer/sweep/sweep_results.h"
#include "trainer/sweep/trial.h"

namespace berth::launch {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int kMostRounds = 3;  // in which no trial gets on

// What is the same for all trials, or they could not be compared.
constexpr std::array kOfSweep{
    "data", "fold", "resume-from-checkpoint", "metric-for-best-model", "greater-is-better", "load-best-model-at-end"};

template <class Items, class Item>
bool contains(const Items& items, const Item& item) {
  return std::find(items.begin(), items.end(), item) != items.end();
}

class Sweep {
 public:
  Sweep(const SweepCommand& command, const CommandLine& line, Rank& rank)
      : command_(command),
        options_(command.train.options),
        line_(line),
        rank_(rank),
        claims_(options_.output_dir),
        trials_(command, plan_, line.log_level, rank) {}

  int run();

 private:
  void plan();
  void take_folder();
  Json describe() const;

  bool finish_rung(const std::vector<size_t>& trials, double share, size_t rung);
  void choose_survivors(size_t next_rung);
  bool train_rung(const std::vector<size_t>& trials, double share);

  // Rank 0 of all.
  train::TrialResult result_of(size_t trial, double share) const;
  void look_at(const std::vector<size_t>& trials, double share);
  std::vector<train::Summary> ranked() const;
  void write_results();
  void keep_the_best();

  const SweepCommand& command_;
  const train::TrainOptions& options_;
  const CommandLine& line_;
  Rank& rank_;
  train::Claims claims_;
  size_t round_ = 0;
  std::unique_ptr<data::Dataset> dataset_;
  train::SweepPlan plan_;
  TrialRunner trials_;
  std::vector<size_t> survivors_;

  // Rank 0 of all.
  std::unique_ptr<train::RunOwner> owner_;
  std::vector<train::TrialResult> results_;
  std::vector<size_t> rung_;
  bool greater_ = false;
  std::vector<size_t> ensemble_;
};

void Sweep::plan() {
  comm::agree(rank_.world, [&] {
    check_usage(!options_.output_dir.empty(), "--output-dir is needed: the sweep's folder, where each trial has its own");
    check_usage(options_.eval_save.eval_strategy != train::Strategy::kNo,
                "a sweep compares evaluations: say when with --eval-strategy epoch or steps");
    check_usage(options_.resume.from == train::Resume::From::kNewest,
                "--resume-from-checkpoint is for one run: a sweep goes on by itself");
    dataset_ = data::Dataset::open(options_.data);
    const bool one_fold = options_.fold.has_value();
    plan_ = train::plan_sweep(command_.sweep, options_.seed, one_fold ? 0 : dataset_->info().folds);
    for (const auto& [option, value] : plan_.configurations.at(0)) {
      check_usage(!TrialRunner::gives(option), "--search ", option, ": the sweep gives each trial its own (see --num-seeds)");
      check_usage(!contains(kOfSweep, option), "--search ", option, ": trials could not be compared");
      check_usage(
          std::none_of(command_.train_arguments.begin(), command_.train_arguments.end(),
                       [&, name = option](const std::string& argument) { return argument.starts_with(concat("--", name, "=")); }),
          "--", option, " is given and searched: choose one");
    }
    // What each configuration asks for, before any of them begins.
    if (rank_.world.rank() != 0) return;
    for (size_t c = 0; c < plan_.configurations.size(); ++c) trials_.command_of(c);
  });
  survivors_.resize(plan_.configurations.size());
  std::iota(survivors_.begin(), survivors_.end(), size_t{0});
}

// The folder is this job's, and what is there belongs to this sweep.
void Sweep::take_folder() {
  comm::agree_on_root(rank_.world, [&] {
    const fs::path& folder = options_.output_dir;
    train::OwnerOptions owner_options;
    owner_options.tell_waiting = [](const std::string& why) { BOOST_LOG_TRIVIAL(info) << why; };
    owner_ = std::make_unique<train::RunOwner>(folder, train::OwnerIdentity::of_this_process(), owner_options);
    const fs::path file = folder / train::kSweepFile;
    if (options_.overwrite_output_dir) {
      for (const auto& entry : fs::directory_iterator(folder))
        if (const std::string name = entry.path().filename(); name.starts_with("trial-") || name.starts_with("sweep."))
          if (!name.ends_with(".superseded")) train::supersede(entry.path());
    } else if (fs::exists(file)) {
      train::check_same_sweep(data::parse_json<Json>(data::read_file(file), file.string()), describe(), folder.string());
    }
    claims_.clear();
    results_.resize(plan_.trials.size());
    rung_.assign(plan_.configurations.size(), 0);
    // A trial that failed for what may have been mended since is tried again.
    for (size_t trial = 0; trial < plan_.trials.size(); ++trial) {
      const fs::path run = train::trial_folder(folder, trial);
      const train::TrialRecord record = train::TrialRecord::read(run);
      const auto code = static_cast<ExitCode>(record.exit_code);
      if (code == ExitCode::kUsage || code == ExitCode::kBadInput) train::TrialRecord{}.write(run);
    }
    if (!fs::exists(file)) write_results();
    BOOST_LOG_TRIVIAL(info) << "sweep of " << counted(plan_.configurations.size(), "configuration") << ", "
                            << counted(plan_.trials.size(), "trial") << ", " << rank_.world.size() / rank_.comm.size()
                            << " at a time on " << counted(rank_.comm.size(), "rank") << " each, in " << folder.string();
  });
}

// Each group of ranks trains what it takes of `trials`. False if a rank was told to stop.
bool Sweep::train_rung(const std::vector<size_t>& trials, double share) {
  rank_.world.barrier();  // claims of an earlier round are not looked at any more
  ++round_;
  int64_t stop = 0;
  try {
    for (size_t next = 0; stop == 0;) {
      int64_t taken = -1;
      comm::agree_on_root(rank_.comm, [&] {
        while (next < trials.size() && taken < 0 && stop_signal() == 0)
          if (const size_t trial = trials[next++]; claims_.take(round_, trial)) taken = static_cast<int64_t>(trial);
      });
      rank_.comm.all_reduce_max(std::span<int64_t>(&taken, 1));
      if (taken < 0) break;
      stop = trials_.train(static_cast<size_t>(taken), share) == TrialRunner::Outcome::kStopped;
    }
  } catch (const comm::AgreedError& error) {
    fail(error.code(), error.what());  // agreed upon in this group alone: it ends all of them
  }
  if (stop_signal() != 0) stop = 1;
  rank_.world.all_reduce_max(std::span<int64_t>(&stop, 1));
  return stop == 0;
}

train::TrialResult Sweep::result_of(size_t trial, double share) const {
  const train::TrialProgress progress = train::read_trial(train::trial_folder(options_.output_dir, trial));
  train::TrialResult result{.done = progress.has_trained(share), .exit_code = progress.exit_code, .error = progress.error};
  const auto* counts =
      progress.failed() ? nullptr : progress.counting(trials_.metric(), share, options_.eval_save.load_best_model_at_end);
  if (counts == nullptr) return result;
  result.step = counts->step;
  result.metrics = counts->metrics;
  result.value = counts->metrics[trials_.metric()].get<double>();
  return result;
}

// What has come of these trials.
void Sweep::look_at(const std::vector<size_t>& trials, double share) {
  const data::LabelShape shape = data::task_info(dataset_->info().task).labels;
  std::map<std::optional<int>, std::optional<double>> majorities;
  const auto majority_of = [&](std::optional<int> fold) {
    if (!majorities.contains(fold)) {
      const std::optional<int> asked = fold ? fold : options_.fold;
      const auto split = asked ? data::open_fold(*dataset_, *asked).fold : dataset_->split("validation");
      majorities[fold] = train::majority_share(*split, shape, options_.batch.max_eval_samples);
    }
    return majorities[fold];
  };
  for (const size_t trial : trials) {
    const fs::path run = train::trial_folder(options_.output_dir, trial);
    results_[trial] = result_of(trial, share);
    greater_ = greater_ || train::read_trial(run).greater;
    if (results_[trial].value)
      results_[trial].degenerate = train::is_degenerate(shape, results_[trial].metrics, majority_of(plan_.trials[trial].fold));
  }
}

Json Sweep::describe() const {
  const Json head{{"berth", version()},
                  {"command", line_.for_shell},
                  {"train_options", command_.train_arguments},
                  {"ranks_per_trial", command_.sweep.ranks_per_trial},
                  {"halving_factor", command_.sweep.halving_factor},
                  {"metric", trials_.metric()}};
  return train::describe_sweep(plan_, head);
}

std::vector<train::Summary> Sweep::ranked() const {
  return train::ranked(train::summarize(plan_, results_, rung_, greater_), greater_);
}

void Sweep::write_results() {
  const std::vector<train::Summary> order = ranked();
  Json sweep = describe();
  train::add_results(sweep, plan_, results_, order, ensemble_);
  data::write_durably(options_.output_dir / train::kSweepFile, data::dump_json(sweep, 2) + "\n");
  data::write_durably(options_.output_dir / "sweep.md", train::sweep_table(plan_, order, trials_.metric()));
}

// The ensemble, and that no other model takes room.
void Sweep::keep_the_best() {
  std::vector<train::TrialResult> with_model = results_;
  const auto model_of = [&](size_t trial) { return train::trial_folder(options_.output_dir, trial) / "model.safetensors"; };
  for (size_t trial = 0; trial < with_model.size(); ++trial)
    if (!fs::exists(model_of(trial))) with_model[trial].done = false;  // it was not kept when the sweep was smaller
  ensemble_ = train::best_trials(plan_, ranked(), with_model, greater_, static_cast<size_t>(command_.sweep.keep_best));
  for (size_t trial = 0; trial < results_.size(); ++trial) {
    const fs::path run = train::trial_folder(options_.output_dir, trial);
    train::drop_checkpoints(run);
    if (!contains(ensemble_, trial)) fs::remove(model_of(trial));
  }
}

// Trains `trials` for `share` of their steps, all of them unless a rank was told to stop: false.
bool Sweep::finish_rung(const std::vector<size_t>& trials, double share, size_t rung) {
  for (int round = 0;; ++round) {
    const bool goes_on = train_rung(trials, share);
    int64_t open = 0;
    comm::agree_on_root(rank_.world, [&] {
      owner_->check_still_owner();
      look_at(trials, share);
      for (const size_t configuration : survivors_) rung_[configuration] = rung;
      write_results();
      for (const size_t trial : trials) open += results_[trial].done ? 0 : 1;
    });
    if (!goes_on) return false;
    rank_.world.all_reduce_max(std::span<int64_t>(&open, 1));
    if (open == 0) return true;
    check_internal(round < kMostRounds, open, " trials were taken by no group of ranks: does the file system of ",
                   options_.output_dir.string(), " make folders?");
  }
}

// Those configurations that train to the next rung.
void Sweep::choose_survivors(size_t next_rung) {
  std::string best;
  comm::agree_on_root(rank_.world, [&] {
    std::vector<train::Summary> order = ranked();
    order.resize(plan_.configurations_of(next_rung));
    for (const train::Summary& summary : order) best += concat(summary.configuration, " ");
  });
  rank_.world.broadcast(best, 0);
  std::istringstream numbers(best);
  survivors_.assign(std::istream_iterator<size_t>(numbers), {});
  std::sort(survivors_.begin(), survivors_.end());
}

int Sweep::run() {
  plan();
  take_folder();
  for (size_t rung = 0; rung < plan_.rungs(); ++rung) {
    if (rung > 0) choose_survivors(rung);
    if (finish_rung(plan_.trials_of(survivors_), plan_.share(rung), rung)) continue;
    if (rank_.world.rank() == 0) BOOST_LOG_TRIVIAL(info) << "the sweep was told to stop: start the same command again to go on";
    return static_cast<int>(ExitCode::kStoppedEarly);
  }
  int64_t code = 0;
  comm::agree_on_root(rank_.world, [&] {
    keep_the_best();
    write_results();
    claims_.clear();
    std::cout << data::read_file(options_.output_dir / "sweep.md") << std::flush;
    const auto well = [](const train::TrialResult& result) { return result.value.has_value(); };
    if (std::none_of(results_.begin(), results_.end(), well)) code = std::max(1, results_[0].exit_code);
  });
  rank_.world.all_reduce_max(std::span<int64_t>(&code, 1));
  return static_cast<int>(code);
}

}  // namespace

int run_sweep(const SweepCommand& command, const CommandLine& line) {
  command.sweep.validate();
  command.train.options.validate();
  return on_all_ranks(
      command.train.device, line.log_level, [&](Rank& rank) { return Sweep(command, line, rank).run(); },
      command.sweep.ranks_per_trial);
}

}  // namespace berth::launch
