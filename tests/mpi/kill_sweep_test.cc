// Jobs that are killed (SIGKILL) at seeded random moments, by time and at every named failpoint: all ranks, one of them, rank 0, or mpiexec.
// The same command, started again until it succeeds, leaves what the undisturbed run left, bit for bit, and never goes back behind a
// checkpoint that was said to be saved.
//
// Where the failpoint says so (CUT) it loses with the process what was not on disk, as if the power was cut.
//
// A kill at each kind of moment, or with BERTH_SWEEP=all 500 kills (label soak). Prints what was killed when.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <list>
#include <numeric>
#include <random>
#include <regex>

#include "tests/support/run_results.h"
#include "tests/support/tiny_job.h"

namespace berth::test {
namespace {

namespace fs = std::filesystem;

struct Configuration {
  const char* name;
  const char* data;
  const char* options;
};

constexpr const char* kOptions =
    " --global-batch-size 12 --max-steps 22 --eval-strategy steps --eval-steps 5 --save-steps 5 --save-total-limit 2 "
    "--warmup-steps 3 --weight-decay 0.01 --ignore-mismatched-sizes --disable-tqdm --logging-steps 1 --learning-rate 1e-3 ";

// In "early stopping" the loss falls and no evaluation is good enough, so the fourth ends the run, and its best model is an early one;
// "best model" has a learning rate that ends worse than it once was.
constexpr Configuration kConfigurations[] = {
    {"whole micro-batches", "data.h5", ""},
    {"accumulation", "data.h5", "--per-device-train-batch-size 2"},
    {"bf16", "data.h5", "--bf16"},
    {"masked LM", "mlm.h5", ""},
    {"entities", "ner.h5", ""},
    {"questions", "qa.h5", ""},
    {"early stopping", "data.h5",
     "--early-stopping-patience 3 --early-stopping-threshold 100 --load-best-model-at-end --greater-is-better true"},
    {"best model", "data.h5", "--learning-rate 0.05 --eval-steps 2 --save-steps 2 --load-best-model-at-end"},
    {"save by seconds", "data.h5", "--save-seconds 0.02 --save-steps 22"},
};
constexpr int kRankCounts[] = {1, 2, 4};

// When a process is killed.
struct Moment {
  const char* point;  // of a failpoint; null: by time
  const char* effect;
  double visits;      // in a whole run, about
  bool on_all_ranks;  // else on rank 0 alone
};

constexpr Moment kMoments[] = {
    {nullptr, "", 0, true},
    {"step", "", 22, true},
    {"write", "", 150, false},
    {"evaluation", "", 12, true},
    {"write", ":TORN", 150, false},
    {"after-model", "", 5, false},
    {nullptr, "", 0, true},
    {"finish", "", 3, true},
    {"after-optimizer", "", 5, false},
    {"before-manifest", "", 5, false},
    {"after-manifest", "", 5, false},
    {"before-rename", "", 5, false},
    {"after-rename", "", 5, false},
    {"removal", "", 6, false},
    {"record", "", 60, false},
    {"sync", "", 80, false},
    {"rename", "", 80, false},
    {"read", "", 20, false},
    {"load", "", 1, true},
    {"step", "", 22, true},
    {"io", ":CUT", 300, false},
    {"record", ":CUT", 60, false},
    {"finish", ":CUT", 3, false},
    {"evaluation", ":CUT", 12, true},
    {"after-rename", ":CUT", 5, false},
};

struct Kill {
  std::string what;  // for people
  Disturbance how;
};

class KillSweep : public TinyTasks {
 protected:
  // A run, how it ends if nothing happens, and how long that takes.
  struct Run {
    const Configuration* configuration = nullptr;
    int ranks = 1;
    RunResults results;
    double seconds = 0;
  };

  // Then mpiexec gives the ranks that are left a second between SIGTERM and SIGKILL, as it does for users.
  static bool all_of_it() {
    const char* which = std::getenv("BERTH_SWEEP");
    return which != nullptr && which == std::string("all");
  }

  static int below(double end) { return static_cast<int>(random_() % static_cast<unsigned>(std::max(1.0, end))); }

  static JobResult start(const Run& run, const std::string& folder, const Kill& kill = {}) {
    const std::string arguments = "train --model " + at("model") + " --data " + at(run.configuration->data) + " --output-dir " +
                                  at(folder) + kOptions + run.configuration->options;
    return run_berth(arguments, run.ranks, kill.how, {{"OMPI_MCA_odls_base_sigkill_timeout", all_of_it() ? "1" : "0"}});
  }

  // The same command again; where mpiexec alone was killed, the ranks may need a moment to follow it.
  static JobResult start_again(const Run& run, const std::string& folder, const Kill& kill = {}) {
    JobResult job = start(run, folder, kill);
    while (job.exit_code == 3 && job.err.find("another job is writing to this run folder") != std::string::npos)
      job = start(run, folder, kill);
    return job;
  }

  static const Run& undisturbed(const Configuration& configuration, int ranks) {
    for (const Run& run : runs_)
      if (run.configuration == &configuration && run.ranks == ranks) return run;
    Run run{.configuration = &configuration, .ranks = ranks, .results = {}, .seconds = 0};
    const auto began = std::chrono::steady_clock::now();
    const JobResult job = start(run, "whole");
    EXPECT_EQ(job.exit_code, 0) << job.err;
    run.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    run.results = results(configuration, "whole");
    fs::remove_all(at("whole"));
    return runs_.emplace_back(std::move(run));
  }

  // When seconds decide what is saved, which checkpoints are left is theirs, but for the last.
  static RunResults results(const Configuration& configuration, const std::string& folder) {
    RunResults all = all_results(at(folder));
    if (std::string(configuration.options).find("--save-seconds") != std::string::npos) all.erase("checkpoints");
    return all;
  }

  // At a moment of a run that has come to `step`.
  static Kill draw(const Moment& moment, const Run& run, int64_t step) {
    const double left = 1 - static_cast<double>(step) / 22;
    const int who = moment.on_all_ranks && run.ranks > 1 ? below(moment.point ? 3 : 4) : 2, other = 1 + below(run.ranks - 1);
    const int first = who == 1 ? other : 0, last = who == 0 ? run.ranks - 1 : first;
    Kill kill{.what = moment.point ? std::string(moment.point) + moment.effect : "time", .how = {}};
    if (moment.point) {
      const int visit = 1 + below(moment.visits > 3 ? moment.visits * left : moment.visits);
      kill.how = at_failpoint(std::string(moment.point) + "@" + std::to_string(visit) + moment.effect, first, last);
    } else {
      const std::string timer = "timeout -s KILL " + std::to_string(run.seconds * (1 + below(1000)) / 1000) + " ";
      kill.how = {.first = first, .last = last, .of_ranks = timer, .of_others = {}, .of_job = {}};
      if (who == 3) kill.how = {.of_ranks = {}, .of_others = {}, .of_job = timer};
    }
    constexpr const char* kWho[] = {", all ranks", ", a rank", ", rank 0", ", mpiexec alone"};
    kill.what += run.ranks > 1 ? kWho[who] : ", the only rank";
    return kill;
  }

  static int64_t last_step_said_to_be_saved(const std::string& err) {
    const std::regex saved("saved \\S*/checkpoint-([0-9]+) ");
    int64_t step = 0;
    for (std::sregex_iterator it(err.begin(), err.end(), saved), end; it != end; ++it) step = std::stoll((*it)[1]);
    return step;
  }

  static int64_t newest(const std::string& folder) {
    const std::vector<int64_t> steps = fs::exists(at(folder)) ? checkpoint_steps(at(folder)) : std::vector<int64_t>();
    return steps.empty() ? 0 : steps.back();
  }

  // A run that is killed at each of the moments, as far as it comes, and then goes on to its end.
  static void kill_and_resume(const Run& run, const std::vector<const Moment*>& moments) {
    const std::string folder = "killed";
    std::string said = std::string(run.configuration->name) + ", ranks: " + std::to_string(run.ranks);
    JobResult job{.exit_code = -1, .out = {}, .err = {}};
    for (const Moment* moment : moments) {
      const Kill kill = draw(*moment, run, newest(folder));
      job = start_again(run, folder, kill);
      said += "\n---- " + kill.what + " " + kill.how.of_ranks + kill.how.of_job + "\n" + job.err;
      if (job.exit_code == 0) break;  // the run ends sooner
      ++kills_;
      std::cout << "killed: " << kill.what << std::endl;
      EXPECT_GE(newest(folder), last_step_said_to_be_saved(job.err)) << said;
    }
    if (job.exit_code != 0) job = start_again(run, folder);
    said += "\n---- to the end\n" + job.err;
    ASSERT_EQ(job.exit_code, 0) << said;
    EXPECT_EQ(differences(results(*run.configuration, folder), run.results), std::vector<std::string>()) << said;
    for (const auto& entry : fs::directory_iterator(at(folder)))
      for (const char* mark : {".tmp-berth-", ".bad", ".old-berth", ".superseded"})
        EXPECT_EQ(entry.path().filename().string().find(mark), std::string::npos) << entry.path() << "\n" << said;
    const auto provenance = nlohmann::json::parse(read_bytes(at(folder) + "/provenance.json"));
    for (const auto& one : provenance["jobs"]) steps_again_ += one.value("lost_steps", int64_t{0});
    fs::remove_all(at(folder));
  }

  static inline std::mt19937 random_{1};
  static inline std::list<Run> runs_;
  static inline int64_t kills_ = 0, steps_again_ = 0;
};

TEST_F(KillSweep, AKilledRunThatIsStartedAgainEndsAsIfNothingHadHappened) {
  const int64_t wanted = all_of_it() ? 500 : std::ssize(kMoments);
  size_t series = 0, moment = 0;
  std::vector<size_t> order(std::size(kMoments));
  std::iota(order.begin(), order.end(), size_t{0});
  for (; kills_ < wanted && !HasFailure(); ++series) {
    const Configuration& configuration = kConfigurations[series % std::size(kConfigurations)];
    const int ranks = kRankCounts[(series + series / std::size(kConfigurations)) % std::size(kRankCounts)];
    std::vector<const Moment*> moments;
    for (size_t i = 0; i < 2 + series % 2; ++i) {
      if (moment == order.size()) {
        std::shuffle(order.begin(), order.end(), random_);
        moment = 0;
      }
      moments.push_back(&kMoments[order[moment++]]);
    }
    kill_and_resume(undisturbed(configuration, ranks), moments);
  }
  std::cout << kills_ << " kills in " << series << " runs; " << steps_again_ << " steps were done again" << std::endl;
}

}  // namespace
}  // namespace berth::test
