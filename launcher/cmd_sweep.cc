#include "launcher/cmd_sweep.h"

#include <algorithm>
#include <array>
#include <boost/log/trivial.hpp>
#include <iostream>
#include <numeric>

#include "data/check.h"
#include "data/files/files.h"
#include "data/json/json.h"
#include "data/store/folds.h"
#include "data/words.h"
#include "launcher/cmd_report.h"
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

// What is the same for all trials, or they could not be compared; and what changes nothing.
constexpr std::array kOfSweep{"data",
                              "fold",
                              "resume-from-checkpoint",
                              "metric-for-best-model",
                              "greater-is-better",
                              "load-best-model-at-end",
                              "device",
                              "threads",
                              "ddp-timeout",
                              "log-level",
                              "disable-tqdm",
                              "allow-change",
                              "report-to",
                              "logging-dir"};

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
        trials_(command, plan_, line.log_level, rank) {}

  int run();

 private:
  void plan();
  void take_folder();
  Json describe() const;

  bool finish_rung(const std::vector<size_t>& trials, double share, size_t rung);
  void choose_survivors(size_t next_rung);
  bool train_rung(const std::vector<size_t>& trials, double share);
  bool train_untaken(const std::vector<size_t>& trials, double share);

  // Rank 0 of all.
  void look_at(const std::vector<size_t>& trials, double share);
  std::vector<train::Summary> ranked() const;
  void write_results();
  void keep_the_best();
  int finish();

  const SweepCommand& command_;
  const train::TrainOptions& options_;
  const CommandLine& line_;
  Rank& rank_;
  size_t round_ = 0;
  std::unique_ptr<data::Dataset> dataset_;
  train::SweepPlan plan_;
  TrialRunner trials_;
  std::vector<size_t> survivors_;

  // Rank 0 of all.
  std::unique_ptr<train::RunOwner> owner_;
  std::vector<train::TrialResult> results_;
  std::vector<size_t> rung_;
  std::vector<size_t> ensemble_;
  bool finished_ = false;
};

void Sweep::plan() {
  comm::agree(rank_.world, [&] {
    check_usage(!options_.output_dir.empty(), "--output-dir is needed: the sweep's folder, where each trial has its own");
    check_usage(!options_.data.empty(), "--data is missing: give the .h5 file that berth prepare wrote");
    check_usage(options_.resume.from == train::Resume::From::kNewest,
                "--resume-from-checkpoint is for one run: a sweep goes on by itself");
    dataset_ = data::Dataset::open(options_.data);
    if (options_.fold) data::open_fold(*dataset_, *options_.fold);
    plan_ = train::plan_sweep(command_.sweep, options_.seed, options_.fold ? 0 : dataset_->info().folds);
    for (const auto& [option, value] : plan_.configurations.at(0)) {
      check_usage(!TrialRunner::gives(option), "--search ", option, ": the sweep gives each trial its own (see --num-seeds)");
      check_usage(!contains(kOfSweep, option), "--search ", option, ": this is the same for all trials");
      const std::string given = concat("--", option, "=");
      check_usage(std::none_of(command_.train_arguments.begin(), command_.train_arguments.end(),
                               [&](const std::string& argument) { return argument.starts_with(given); }),
                  "--", option, " is given and searched: choose one");
    }
    // What each configuration asks for, before any of them begins. The first trials are the configurations one by one.
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
    check_not_stopped(folder);
    const fs::path file = folder / train::kSweepFile;
    bool was_finished = false;
    if (options_.overwrite_output_dir) {
      for (const auto& entry : fs::directory_iterator(folder))
        if (const std::string name = entry.path().filename(); name.starts_with("trial-") || name.starts_with("sweep."))
          if (name.find(".superseded") == std::string::npos) train::supersede(entry.path());
    } else if (fs::exists(file)) {
      const Json before = data::parse_json<Json>(data::read_file(file), file.string());
      train::check_same_sweep(before, describe(), folder.string());
      was_finished = before.value("finished", Json()) == true;
    }
    for (size_t trial = 0; trial < plan_.trials.size(); ++trial) {
      const fs::path run = trials_.folder_of(trial);
      train::TrialRecord record = train::TrialRecord::read(run);
      train::check_same_trial(run, record.arguments, train::that_count(trials_.arguments_of(trial)));
      // A finished sweep that is started again tries again what may have been mended.
      if (!was_finished || record.exit_code == 0 || record.exit_code == static_cast<int>(ExitCode::kDiverged)) continue;
      record.exit_code = 0;
      record.write(run);
    }
    trials_.claims().clear();
    results_.resize(plan_.trials.size());
    rung_.assign(plan_.configurations.size(), 0);
    write_results();
    BOOST_LOG_TRIVIAL(info) << "sweep of " << counted(plan_.configurations.size(), "configuration") << ", "
                            << counted(plan_.trials.size(), "trial") << ", " << rank_.world.size() / rank_.comm.size()
                            << " at a time on " << counted(rank_.comm.size(), "rank") << " each, in " << folder.string();
    if (const auto asked = static_cast<size_t>(command_.sweep.num_configurations); plan_.configurations.size() < asked)
      BOOST_LOG_TRIVIAL(warning) << "there are no more than these configurations; " << asked << " were asked for";
  });
}

// Trains what no group has taken of `trials`. False if a rank was told to stop.
bool Sweep::train_untaken(const std::vector<size_t>& trials, double share) {
  for (size_t next = 0;;) {
    int64_t taken = -1;
    comm::agree_on_root(rank_.comm, [&] {
      for (; next < trials.size() && taken < 0 && !trials_.told_to_stop(); ++next) {
        const train::TrialRecord record = train::TrialRecord::read(trials_.folder_of(trials[next]));
        const bool alone = record.exit_code == 0 && record.starts >= train::kMostStarts;
        if (!alone && trials_.claims().take(round_, trials[next])) taken = static_cast<int64_t>(trials[next]);
      }
    });
    rank_.comm.all_reduce_max(std::span<int64_t>(&taken, 1));
    if (taken < 0) return true;
    if (trials_.train(static_cast<size_t>(taken), share, train::kMostStarts) == TrialRunner::Outcome::kStopped) return false;
    if (rank_.world.rank() != 0) continue;
    try {
      look_at(trials, share);
      write_results();
    } catch (const Error& error) {
      BOOST_LOG_TRIVIAL(warning) << error.what() << "; it is written again after the next trial";
    }
    const auto done = std::count_if(trials.begin(), trials.end(), [&](size_t trial) { return results_[trial].done; });
    BOOST_LOG_TRIVIAL(info) << done << " of " << counted(trials.size(), "trial") << " done";
  }
}

// Each group of ranks trains what it takes of `trials`; then the first one, while all others wait, what may be the end of a job: it is to
// take no other trial down with it. False if a rank was told to stop.
bool Sweep::train_rung(const std::vector<size_t>& trials, double share) {
  rank_.world.barrier();  // claims of an earlier round are not looked at any more
  ++round_;
  const auto any_stops = [&](bool stops) {
    int64_t stop = stops || stop_signal() != 0;
    rank_.world.all_reduce_max(std::span<int64_t>(&stop, 1));
    return stop != 0;
  };
  try {
    if (any_stops(!train_untaken(trials, share))) return false;
    bool goes_on = true;
    if (rank_.world.rank() < rank_.comm.size())
      for (const size_t trial : trials)
        goes_on =
            goes_on && trials_.train(trial, share, train::kMostStarts + train::kMostStartsAlone) == TrialRunner::Outcome::kOver;
    return !any_stops(!goes_on);
  } catch (const comm::AgreedError& error) {
    fail(error.code(), error.what());  // agreed upon in this group alone: it ends all of them
  }
}

// What has come of those of these trials that were not done.
void Sweep::look_at(const std::vector<size_t>& trials, double share) {
  const data::LabelShape shape = data::task_info(dataset_->info().task).labels;
  for (const size_t trial : trials) {
    train::TrialResult& result = results_[trial];
    const train::TrialProgress progress = train::read_trial(trials_.folder_of(trial));
    result = {.done = progress.has_trained(share), .exit_code = progress.exit_code, .error = progress.error};
    if (!result.done || progress.failed()) continue;
    const auto *counts = trials_.counting(progress, share), *last = progress.last(share);
    if (const auto* shown = counts != nullptr ? counts : last; shown != nullptr) {
      result.step = shown->step;
      result.metrics = shown->metrics;
      result.value = train::value_of(shown->metrics, trials_.metric());
    }
    result.degenerate = !result.value || train::is_degenerate(shape, result.metrics);
  }
}

Json Sweep::describe() const {
  const data::DatasetInfo& info = dataset_->info();
  Json content = info.content_sha256.empty() ? Json(info.source_sha256) : Json(info.content_sha256);
  if (info.folds > 0) content["folds"] = info.folds_sha256;
  const Json head{{"berth", version()},
                  {"command", line_.for_shell},
                  {"data_sha256", content},
                  {"ranks_per_trial", command_.sweep.ranks_per_trial},
                  {"halving_factor", command_.sweep.halving_factor},
                  {"metric", trials_.metric()},
                  {"greater_is_better", trials_.greater()},
                  {"finished", finished_}};
  return train::describe_sweep(plan_, head);
}

std::vector<train::Summary> Sweep::ranked() const {
  return train::ranked(train::summarize(plan_, results_, rung_, trials_.greater()), trials_.greater());
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
  const auto model_of = [&](size_t trial) { return trials_.folder_of(trial) / "model.safetensors"; };
  std::vector<train::TrialResult> with_model = results_;
  size_t gone = 0;  // models that an earlier --keep-best, or a smaller sweep, did without
  for (size_t trial = 0; trial < with_model.size(); ++trial) {
    if (fs::exists(model_of(trial))) continue;
    gone += with_model[trial].value && rung_[plan_.trials[trial].configuration] + 1 == plan_.rungs();
    with_model[trial].done = false;
  }
  const auto most = static_cast<size_t>(command_.sweep.keep_best);
  ensemble_ = train::best_trials(plan_, ranked(), with_model, trials_.greater(), most);
  if (gone > 0 && ensemble_.size() < most)
    BOOST_LOG_TRIVIAL(warning) << "the ensemble is of " << counted(ensemble_.size(), "model") << ": " << gone
                               << " were removed when the sweep ended before";
  for (size_t trial = 0; trial < results_.size(); ++trial) {
    train::drop_checkpoints(trials_.folder_of(trial));
    if (!contains(ensemble_, trial)) fs::remove(model_of(trial));
  }
}

// Trains `trials` for `share` of their steps. False if some are left because a rank was told to stop.
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
    rank_.world.all_reduce_max(std::span<int64_t>(&open, 1));
    if (open == 0) return true;
    if (!goes_on) return false;
    check_internal(round < kMostRounds, open, " trials were taken by no group of ranks: does the file system of ",
                   options_.output_dir.string(), " make folders?");
  }
}

// Those configurations that train to the next rung.
void Sweep::choose_survivors(size_t next_rung) {
  std::vector<int64_t> goes_on(plan_.configurations.size());
  comm::agree_on_root(rank_.world, [&] {
    std::vector<train::Summary> order = ranked();
    order.resize(plan_.configurations_of(next_rung));
    for (const train::Summary& summary : order) goes_on[summary.configuration] = 1;
  });
  rank_.world.all_reduce_max(goes_on);
  std::erase_if(survivors_, [&](size_t configuration) { return goes_on[configuration] == 0; });
}

// What is said at the end; the exit code.
int Sweep::finish() {
  keep_the_best();
  finished_ = true;
  write_results();
  trials_.claims().clear();
  try_to_write_page(options_.output_dir);
  std::cout << data::read_file(options_.output_dir / "sweep.md") << std::flush;
  const auto number = [&](auto what) { return std::count_if(results_.begin(), results_.end(), what); };
  const auto failed = number([](const auto& result) { return result.exit_code != 0; });
  const auto degenerate = number([](const auto& result) { return result.degenerate; });
  if (degenerate > 0)
    BOOST_LOG_TRIVIAL(warning) << counted(degenerate, "trial") << " learned nothing"
                               << (ensemble_.empty() ? ""
                                                     : " (column Degenerate); the ensemble is of others where there are any");
  if (failed > 0)
    BOOST_LOG_TRIVIAL(warning) << counted(failed, "trial")
                               << " failed (sweep.json says why); the same command tries those again that did not diverge";
  if (number([](const auto& result) { return result.value.has_value(); }) > 0 || failed == 0) return 0;
  const int code =
      std::find_if(results_.begin(), results_.end(), [](const auto& result) { return result.exit_code != 0; })->exit_code;
  return code == static_cast<int>(ExitCode::kInternal) ? static_cast<int>(ExitCode::kBadInput)
                                                       : code;  // no crash: not to be started again
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
  comm::agree_on_root(rank_.world, [&] { code = finish(); });
  rank_.world.all_reduce_max(std::span<int64_t>(&code, 1));
  return static_cast<int>(code);
}

}  // namespace

int run_sweep(const SweepCommand& command, const CommandLine& line) {
  command.sweep.validate();
  return on_all_ranks(
      command.train.device, line.log_level,
      [&](Rank& rank) {
        if (rank.world.rank() == 0) log_remarks(line.remarks);
        return Sweep(command, line, rank).run();
      },
      command.sweep.ranks_per_trial);
}

}  // namespace berth::launch
