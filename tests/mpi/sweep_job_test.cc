// Sweeps as users run them: each trial is a run of berth train, whatever its group of ranks and whatever happened to the job.
#include <algorithm>
#include <cmath>
#include <fstream>

#include "data/check.h"
#include "tests/support/tiny_job.h"

namespace berth::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kCommon =
    " --logging-steps 1 --disable-tqdm --eval-strategy epoch --save-strategy epoch --num-train-epochs 4 "
    "--per-device-train-batch-size 8 --metric-for-best-model accuracy ";

class SweepJob : public TinyJob {
 protected:
  static void SetUpTestSuite() {
    TinyJob::SetUpTestSuite();
    const JobResult result = sweep("four", kFour, 2);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    table_ = result.out;
  }

  static std::string arguments(const std::string& folder) {
    return " --model " + at("model") + " --data " + at("data.h5") + " --output-dir " + at(folder) + kCommon;
  }
  static JobResult sweep(const std::string& folder, const std::string& options, int ranks,
                         const std::map<std::string, std::string>& env = {}) {
    return run_berth("sweep" + arguments(folder) + options, ranks, env);
  }
  static Json results(const std::string& folder) { return Json::parse(read_bytes(at(folder) + "/sweep.json")); }
  // What must be the same however a sweep was run: its trials' metrics, but for times, and what follows from them.
  static Json numbers(const std::string& folder) {
    Json sweep = results(folder);
    for (const char* key : {"berth", "command", "train_options"}) sweep.erase(key);
    for (Json& trial : sweep["trials"])
      if (trial.contains("metrics"))
        for (const char* time : {"eval_runtime", "eval_samples_per_second", "eval_steps_per_second"})
          trial["metrics"].erase(time);
    return sweep;
  }
  static std::string model(const std::string& folder) { return read_bytes(at(folder) + "/model.safetensors"); }

  // Two learning rates with two seeds.
  static constexpr const char* kFour = "--search learning_rate=2e-3,3e-3 --num-seeds 2 --seed 5";
  static constexpr const char* kTrials[] = {"trial-0-seed-5", "trial-1-seed-5", "trial-0-seed-6", "trial-1-seed-6"};
  static inline std::string table_;
};

TEST_F(SweepJob, EachTrialIsARunOfBerthTrain) {
  ASSERT_EQ(run_berth("train" + arguments("alone") + "--learning-rate 3e-3 --seed 6").exit_code, 0);
  EXPECT_TRUE(model("four/trial-1-seed-6") == model("alone"));
  const Json sweep = results("four");
  ASSERT_EQ(sweep["trials"].size(), 4u);
  const Json& trial = sweep["trials"][3];
  EXPECT_EQ(trial["options"]["learning-rate"], "3e-3");
  EXPECT_EQ(trial["seed"], 6);
  EXPECT_EQ(trial["folder"], "trial-1-seed-6");
  EXPECT_EQ(trial["metrics"]["eval_accuracy"], Json::parse(read_bytes(at("alone") + "/eval_results.json"))["eval_accuracy"]);
  EXPECT_FALSE(fs::exists(at("four/trial-1-seed-6/checkpoint-64"))) << "nobody goes on with it";
  EXPECT_TRUE(fs::exists(at("four/trial-1-seed-6/README.md")));
}

TEST_F(SweepJob, ConfigurationsAreRankedByTheMeanOfTheirRuns) {
  const Json sweep = results("four");
  EXPECT_EQ(sweep["metric"], "eval_accuracy");
  double before = 2;
  for (const Json& configuration : sweep["configurations"]) {
    std::vector<double> values;
    for (const Json& trial : sweep["trials"])
      if (trial["options"] == configuration["options"]) values.push_back(trial["metrics"]["eval_accuracy"]);
    ASSERT_EQ(values.size(), 2u);
    EXPECT_NEAR(configuration["mean"].get<double>(), (values[0] + values[1]) / 2, 1e-12);
    EXPECT_NEAR(configuration["sd"].get<double>(), std::abs(values[0] - values[1]) / std::sqrt(2), 1e-12);
    EXPECT_LE(configuration["mean"].get<double>(), before);
    before = configuration["mean"].get<double>();
  }
  EXPECT_EQ(table_, read_bytes(at("four/sweep.md")));
  EXPECT_EQ(std::count(table_.begin(), table_.end(), '\n'), 4) << table_;
}

TEST_F(SweepJob, GroupsOfRanksMakeNoDifference) {
  const JobResult one = sweep("one", kFour, 1);
  ASSERT_EQ(one.exit_code, 0) << one.err;
  EXPECT_EQ(numbers("one"), numbers("four"));
  for (const char* trial : kTrials) EXPECT_TRUE(model(concat("one/", trial)) == model(concat("four/", trial))) << trial;
}

TEST_F(SweepJob, ATrialOfTwoRanksIsARunOfTwoRanks) {
  const JobResult pairs = sweep("pairs", "--search learning_rate=2e-3,3e-3 --ranks-per-trial 2", 4);
  ASSERT_EQ(pairs.exit_code, 0) << pairs.err;
  ASSERT_EQ(run_berth("train" + arguments("two") + "--learning-rate 3e-3", 2).exit_code, 0);
  EXPECT_TRUE(model("pairs/trial-1-seed-42") == model("two"));
}

TEST_F(SweepJob, CrossValidatesOverTheFoldsOfTheData) {
  const JobResult prepared = run_berth("prepare --train-file " + at("train.csv") + " --folds 3 --tokenizer " + at("model") +
                                       " --max-length 32 --output " + at("folds.h5"));
  ASSERT_EQ(prepared.exit_code, 0) << prepared.err;
  const std::string data = " --data " + at("folds.h5 ");
  const JobResult result = sweep("folds", data + "--learning-rate 3e-3", 2);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json trials = results("folds")["trials"];
  ASSERT_EQ(trials.size(), 3u);
  EXPECT_EQ(trials[1]["fold"], 1);
  EXPECT_EQ(results("folds")["configurations"][0]["runs"], 3);
  ASSERT_EQ(run_berth("train" + arguments("fold") + data + "--learning-rate 3e-3 --fold 1").exit_code, 0);
  EXPECT_TRUE(model("folds/trial-0-seed-42-fold-1") == model("fold"));
}

TEST_F(SweepJob, GoesOnAfterItWasKilled) {
  EXPECT_NE(sweep("killed", kFour, 2, {{"BERTH_FAILPOINT", "step@41"}}).exit_code, 0);
  const JobResult rest = sweep("killed", kFour, 2);
  ASSERT_EQ(rest.exit_code, 0) << rest.err;
  EXPECT_NE(rest.err.find(" goes on from step "), std::string::npos) << rest.err;
  EXPECT_EQ(numbers("killed"), numbers("four"));
  for (const char* trial : kTrials) EXPECT_TRUE(model(concat("killed/", trial)) == model(concat("four/", trial))) << trial;
  // A third time there is nothing to do, and more seeds are only what they add.
  const JobResult more = sweep("killed", "--search learning_rate=2e-3,3e-3 --num-seeds 3 --seed 5", 2);
  ASSERT_EQ(more.exit_code, 0) << more.err;
  EXPECT_EQ(more.err.find("trial-0-seed-5 ("), std::string::npos) << more.err;
  EXPECT_EQ(results("killed")["configurations"][0]["runs"], 3);
}

TEST_F(SweepJob, StopsOnASignalAndGoesOn) {
  const JobResult stopped = run_shell(mpiexec(2) + berth_program() + " sweep" + arguments("stopped") + kFour +
                                      " & job=$!; until [ -s " + at("stopped/trial-1-seed-5/metrics.jsonl") +
                                      " ]; do sleep 0.01; kill -0 $job || break; done; kill -USR1 $job; wait $job");
  EXPECT_EQ(stopped.exit_code, 75) << stopped.err;
  ASSERT_EQ(sweep("stopped", kFour, 2).exit_code, 0);
  EXPECT_EQ(numbers("stopped"), numbers("four"));
}

TEST_F(SweepJob, ATrialThatFailsDoesNotEndTheOthers) {
  const std::string options = "--search learning-rate=1e30,3e-3 --search freeze=0,7 --max-grad-norm 0";
  const JobResult result = sweep("failing", options, 2);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json trials = results("failing")["trials"];
  EXPECT_EQ(trials[0]["exit_code"], 4) << trials[0];
  EXPECT_EQ(trials[1]["exit_code"], 2) << trials[1];
  EXPECT_NE(trials[1]["error"].get<std::string>().find("--freeze"), std::string::npos);
  EXPECT_EQ(trials[2]["state"], "done");
  EXPECT_EQ(results("failing")["ensemble"], Json::array({"trial-2-seed-42"}));
  EXPECT_NE(result.err.find("trial-0-seed-42 (learning-rate 1e30, freeze 0) failed (exit code 4): "), std::string::npos)
      << result.err;
  const JobResult none = sweep("none", "--search freeze=7,8", 2);
  EXPECT_EQ(none.exit_code, 2) << none.err;
}

// The first trial takes the job down three times beside others and twice alone; the others are not blamed for it.
TEST_F(SweepJob, ATrialThatEndsTheJobAgainAndAgainIsGivenUp) {
  const std::string options = "--search learning-rate=2e-3,3e-3 --save-strategy no", first = at("deadly/trial-0-seed-42");
  for (int start = 1; start <= 3; ++start) {
    EXPECT_NE(sweep("deadly", options, 1, {{"BERTH_FAILPOINT", "step@3"}}).exit_code, 0);
    EXPECT_EQ(Json::parse(read_bytes(first + "/berth_trial.json"))["starts"], start);
  }
  // Now the other one comes first, and has 64 steps.
  for (const char* fault : {"step@67", "step@3"})
    EXPECT_NE(sweep("deadly", options, 1, {{"BERTH_FAILPOINT", fault}}).exit_code, 0);
  const JobResult rest = sweep("deadly", options, 1);
  ASSERT_EQ(rest.exit_code, 0) << rest.err;
  const Json trials = results("deadly")["trials"];
  EXPECT_EQ(trials[0]["state"], "failed");
  EXPECT_NE(trials[0]["error"].get<std::string>().find("ended 5 times"), std::string::npos) << trials[0];
  EXPECT_EQ(trials[1]["state"], "done");
  // A finished sweep that is started again gives it another chance.
  ASSERT_EQ(sweep("deadly", options, 1).exit_code, 0);
  EXPECT_EQ(results("deadly")["trials"][0]["state"], "done");
}

TEST_F(SweepJob, WhatIsNeverEvaluatedHasFailed) {
  const JobResult never = sweep("never", "--search learning-rate=1e-3 --eval-strategy steps --eval-delay 1000", 1);
  EXPECT_EQ(never.exit_code, 2);
  EXPECT_NE(never.err.find("never evaluated in its 64 steps"), std::string::npos) << never.err;
}

// On one rank of another group than the one that is signalled.
TEST_F(SweepJob, AllGroupsStopWhenOneIsToldTo) {
  const JobResult stopped =
      run_shell(mpiexec(2) + berth_program() + " sweep" + arguments("one_stops") +
                " --num-train-epochs 400 --save-strategy no --search " + "learning-rate=2e-3,3e-3 & job=$!; until [ -s " +
                at("one_stops/trial-0-seed-42/metrics.jsonl") + " ] && [ -s " + at("one_stops/trial-1-seed-42/metrics.jsonl") +
                " ]; do sleep 0.01; kill -0 $job || break; done; "
                "read child others < /proc/$job/task/$job/children; kill -USR1 $child; wait $job");
  EXPECT_EQ(stopped.exit_code, 75) << stopped.err;
  for (const char* trial : {"trial-0-seed-42", "trial-1-seed-42"})
    EXPECT_FALSE(fs::exists(at(std::string("one_stops/") + trial + "/model.safetensors"))) << trial;
}

// Four configurations train for one epoch, two of them for two, one for four: as far as if it had been alone.
TEST_F(SweepJob, HalvingTrainsTheBestOnToTheSameBits) {
  const std::string options = "--search learning-rate=1e-5,1e-3,3e-3,1e-4 --halving-factor 2";
  ASSERT_EQ(sweep("halved", options, 2).exit_code, 0);
  const Json sweep_of_all = results("halved");
  std::vector<double> shares;
  for (const Json& configuration : sweep_of_all["configurations"]) shares.push_back(configuration["share_of_steps"]);
  EXPECT_EQ(shares, (std::vector<double>{1, 0.5, 0.25, 0.25}));
  const Json& best = sweep_of_all["configurations"][0]["options"]["learning-rate"];
  int64_t lines = 0;
  for (const Json& trial : sweep_of_all["trials"]) {
    const std::string curve = read_bytes(at("halved/") + trial["folder"].get<std::string>() + "/metrics.jsonl");
    lines += std::count(curve.begin(), curve.end(), '\n');
    if (trial["options"]["learning-rate"] != best) continue;
    ASSERT_EQ(run_berth("train" + arguments("full") + "--learning-rate " + best.get<std::string>()).exit_code, 0);
    EXPECT_TRUE(model("halved/" + trial["folder"].get<std::string>()) == model("full"));
  }
  EXPECT_EQ(sweep_of_all["ensemble"].size(), 1u) << "only what was trained to its end";
  // Of each epoch 16 steps and an evaluation, and a line at the end of the one run that was trained to its end.
  EXPECT_EQ(lines, (4 + 2 + 2) * (16 + 1) + 1) << sweep_of_all;

  EXPECT_EQ(sweep("by_two", options + " --ranks-per-trial 2", 2).exit_code, 0);
  EXPECT_EQ(results("by_two")["ensemble"], sweep_of_all["ensemble"]);

  EXPECT_NE(sweep("cut", options, 2, {{"BERTH_FAILPOINT", "step@57"}}).exit_code, 0);
  ASSERT_EQ(sweep("cut", options, 1).exit_code, 0);
  EXPECT_EQ(numbers("cut"), numbers("halved"));
  ASSERT_EQ(sweep("cut", options, 1).exit_code, 0);
  EXPECT_EQ(numbers("cut"), numbers("halved"));
}

TEST_F(SweepJob, TheSweepIsTheEnsembleOfItsBest) {
  const Json members = results("four")["ensemble"];
  ASSERT_EQ(members.size(), 4u);
  std::string models;
  for (const Json& member : members) models += " --model " + at("four/" + member.get<std::string>());
  const std::string texts = " --input " + at("validation.csv");
  const JobResult ensemble = run_berth("predict --model " + at("four") + texts, 2), each = run_berth("predict" + models + texts);
  ASSERT_EQ(ensemble.exit_code, 0) << ensemble.err;
  EXPECT_EQ(ensemble.out, each.out);
}

TEST_F(SweepJob, KeepsTheModelsOfTheBestAlone) {
  ASSERT_EQ(sweep("kept", std::string(kFour) + " --keep-best 1", 2).exit_code, 0);
  const Json ensemble = results("kept")["ensemble"];
  ASSERT_EQ(ensemble.size(), 1u);
  for (const std::string folder : kTrials)
    EXPECT_EQ(fs::exists(at("kept/" + folder + "/model.safetensors")), ensemble[0] == folder) << folder;
}

TEST_F(SweepJob, SaysWhatIsWrongBeforeAnythingBegins) {
  const std::string no_evaluation =
      "sweep --model " + at("model") + " --data " + at("data.h5") + " --output-dir " + at("wrong") + " ";
  EXPECT_NE(run_berth(no_evaluation).err.find("--eval-strategy epoch"), std::string::npos);
  for (const auto& [options, ranks, part] :
       {std::tuple("--search learning-rate=1,2 --learning-rate 3", 1, "--learning-rate is given and searched"),
        {"--search seed=1,2", 1, "--num-seeds"},
        {"--search data=1,2", 1, "the same for all trials"},
        {"--search threads=1,2", 1, "the same for all trials"},
        {"--search lr=1,2", 1, "berth train has no option --lr"},
        {"--search lerning-rate=1,2", 1, "did you mean --learning-rate"},
        {"--search learning-rate=fast,slow", 1, "learning-rate"},
        {"--search learning-rate=1,-2", 1, "learning"},
        {"--search learning-rate=1,2 --halving-factor 3", 1, "--search makes 2"},
        {"--search model_name_or_path=a,b", 1, "--model is given and searched"},
        {"--ranks-per-trial 2", 3, "3 ranks cannot be dealt out"}}) {
    const JobResult result = sweep("wrong", options, ranks);
    EXPECT_EQ(result.exit_code, 2) << options << result.err;
    EXPECT_NE(result.err.find(part), std::string::npos) << options << ": " << result.err;
    EXPECT_FALSE(fs::exists(at("wrong"))) << options;
  }
  for (const auto& [options, part] :
       {std::pair("--search learning-rate=2e-3,4e-3 --num-seeds 2 --seed 5",
                  "trial-1-seed-5 was begun with other options (--learning-rate="),
        {"--search learning-rate=2e-3,3e-3 --num-seeds 2 --seed 5 --halving-factor 2", "another halving_factor"}}) {
    const JobResult other = sweep("four", options, 1);
    EXPECT_EQ(other.exit_code, 2);
    EXPECT_NE(other.err.find(part), std::string::npos) << other.err;
  }
  ASSERT_EQ(run_berth("prepare --train-file " + at("validation.csv") + " --validation-file " + at("train.csv") + " --tokenizer " +
                      at("model") + " --max-length 32 --output " + at("other.h5"))
                .exit_code,
            0);
  const JobResult other_data = sweep("four", kFour + (" --data " + at("other.h5")), 1);
  EXPECT_EQ(other_data.exit_code, 2);
  EXPECT_NE(other_data.err.find("another data_sha256"), std::string::npos) << other_data.err;
  EXPECT_NE(
      run_berth("evaluate --model " + at("four") + " --data " + at("data.h5")).err.find("is a sweep: name one of its trials"),
      std::string::npos);
}

}  // namespace
}  // namespace berth::test
