// What a sweep means, and what it makes of its trials' results: no rank is needed for either.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <set>

#include "data/check.h"
#include "tests/support/temp_dir.h"
#include "trainer/sweep/ranking.h"
#include "trainer/sweep/sweep_folder.h"
#include "trainer/sweep/sweep_plan.h"
#include "trainer/sweep/trial.h"

namespace berth::train {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using data::LabelShape;

std::string usage_error(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kUsage);
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

TEST(SearchTest, ValuesAreSeparatedByCommasOrBars) {
  EXPECT_EQ(parse_search("learning_rate=1e-5,2e-5").option, "learning-rate");
  EXPECT_EQ(parse_search("--learning-rate=1e-5,2e-5").choices, (std::vector<std::string>{"1e-5", "2e-5"}));
  EXPECT_EQ(parse_search("head-hidden-sizes=256,64|128").choices, (std::vector<std::string>{"256,64", "128"}));
  EXPECT_EQ(parse_search("a=loguniform(1e-5,1e-4)").kind, SearchParameter::Kind::kLogUniform);
  EXPECT_EQ(parse_search("a=uniform(-1,1)").low, -1);
  EXPECT_EQ(parse_search("a=randint(2, 4)").high, 4);
  EXPECT_EQ(parse_search("a=1, 2").choices, (std::vector<std::string>{"1", "2"}));
  EXPECT_EQ(parse_search("a={\"min_lr\": 0}|{\"min_lr\": 1}").choices.size(), 2u);
}

TEST(SearchTest, SaysWhatIsWrong) {
  for (const auto& [spec, part] : {std::pair("rate", "expected option="),
                                   {"=1,2", "expected option="},
                                   {"a=1,,2", "a value is missing"},
                                   {"a=", "a value is missing"},
                                   {"a=1,2,1", "twice"},
                                   {"a=uniform(1)", "expected uniform(low,high)"},
                                   {"a=uniform(1,x)", "'x' is not a number"},
                                   {"a=uniform(2,1)", "range is empty"},
                                   {"a=uniform(nan,1)", "not a number"},
                                   {"a=loguniform(0,1)", "positive"},
                                   {"a=randint(1,2.5)", "integers"},
                                   {"a=normal(0,1)", "'normal(…' is no range"},
                                   {"a=uniform(1,2", "'uniform(…' is no range"}})
    EXPECT_NE(usage_error([&, spec = spec] { parse_search(spec); }).find(part), std::string::npos) << spec;
  EXPECT_NE(usage_error([] { parse_searches({"a=1,2", "--a=3"}); }).find("searched already"), std::string::npos);
  EXPECT_NE(usage_error([] { grid({parse_search("a=uniform(0,1)")}); }).find("--num-configurations"), std::string::npos);
}

TEST(SearchTest, AGridIsAllCombinationsTheLastOptionFastest) {
  std::vector<std::string> all;
  for (const Configuration& configuration : grid(parse_searches({"a=1,2", "b=x,y,z"}))) all.push_back(to_string(configuration));
  EXPECT_EQ(all, (std::vector<std::string>{"a 1, b x", "a 1, b y", "a 1, b z", "a 2, b x", "a 2, b y", "a 2, b z"}));
  EXPECT_EQ(grid({}), std::vector<Configuration>(1));
  EXPECT_NE(usage_error([] {
              std::string many = "0";
              for (int i = 1; i < 1000; ++i) many += concat(",", i);
              grid(parse_searches({"a=" + many, "b=" + many}));
            }).find("draw some"),
            std::string::npos);
}

TEST(SearchTest, DrawsAreAFunctionOfTheSeedAndMoreOnlyAddSome) {
  const auto parameters =
      parse_searches({"rate=loguniform(1e-6,1e-2)", "dropout=uniform(0.1,0.3)", "steps=randint(1,6)", "c=x,y"});
  const auto few = draw(parameters, 10, 7), many = draw(parameters, 4000, 7);
  EXPECT_EQ(few, std::vector<Configuration>(many.begin(), many.begin() + 10));
  EXPECT_NE(few, draw(parameters, 10, 8));
  std::set<std::string> steps, choices;
  double logarithms = 0, dropouts = 0;
  for (const Configuration& configuration : many) {
    const double rate = std::stod(configuration[0].second), dropout = std::stod(configuration[1].second);
    EXPECT_TRUE(rate >= 1e-6 && rate <= 1e-2) << rate;
    EXPECT_TRUE(dropout >= 0.1 && dropout <= 0.3) << dropout;
    logarithms += std::log10(rate) / 4000;
    dropouts += dropout / 4000;
    steps.insert(configuration[2].second);
    choices.insert(configuration[3].second);
  }
  EXPECT_NEAR(logarithms, -4, 0.1);  // five times its standard deviation, 4 / sqrt(12 * 4000)
  EXPECT_NEAR(dropouts, 0.2, 0.005);
  EXPECT_EQ(steps, (std::set<std::string>{"1", "2", "3", "4", "5", "6"}));
  EXPECT_EQ(choices, (std::set<std::string>{"x", "y"}));
}

TEST(SearchTest, NoConfigurationIsDrawnTwice) {
  const auto all = draw(parse_searches({"a=1,2,3", "b=1,2"}), 100, 1);
  EXPECT_EQ(all.size(), 6u);
  EXPECT_EQ(std::set<Configuration>(all.begin(), all.end()).size(), 6u);
}

TEST(SweepPlanTest, IsConfigurationsTimesFoldsTimesSeeds) {
  const SweepOptions options{.search = {"a=1,2"}, .num_seeds = 2};
  const SweepPlan plan = plan_sweep(options, 42, 3);
  ASSERT_EQ(plan.trials.size(), 12u);
  EXPECT_EQ(plan.trials[0], (Trial{.configuration = 0, .seed = 42, .fold = 0}));
  EXPECT_EQ(plan.trials[1], (Trial{.configuration = 1, .seed = 42, .fold = 0}));
  EXPECT_EQ(plan.trials[5], (Trial{.configuration = 1, .seed = 42, .fold = 2}));
  EXPECT_EQ(plan.trials[6], (Trial{.configuration = 0, .seed = 43, .fold = 0}));
  EXPECT_EQ(plan.trials_of({1}), (std::vector<size_t>{1, 3, 5, 7, 9, 11}));
  EXPECT_EQ(plan_sweep(options, 1, 0).trials[0].fold, std::nullopt);
  EXPECT_EQ(name_of(plan.trials[5]), "trial-1-seed-42-fold-2");
  EXPECT_EQ(name_of(plan_sweep(options, 1, 0).trials[0]), "trial-0-seed-1");
  EXPECT_NE(usage_error([&] { plan_sweep(options, std::numeric_limits<uint64_t>::max(), 0); }).find("--seed"), std::string::npos);
}

TEST(SweepPlanTest, HalvingLeavesOneForTheLastRung) {
  const auto plan = [](int64_t configurations, int64_t factor) {
    return plan_sweep({.search = {"a=randint(1,100000)"}, .num_configurations = configurations, .halving_factor = factor}, 1, 0);
  };
  const SweepPlan nine = plan(9, 3);
  ASSERT_EQ(nine.rungs(), 3u);
  EXPECT_DOUBLE_EQ(nine.share(0), 1.0 / 9);
  EXPECT_DOUBLE_EQ(nine.share(1), 1.0 / 3);
  EXPECT_EQ(nine.share(2), 1);
  EXPECT_EQ(nine.configurations_of(0), 9u);
  EXPECT_EQ(nine.configurations_of(1), 3u);
  EXPECT_EQ(nine.configurations_of(2), 1u);
  EXPECT_EQ(plan(20, 2).rungs(), 5u);
  EXPECT_EQ(plan(20, 2).configurations_of(4), 1u);
  EXPECT_EQ(plan(8, 0).rungs(), 1u);
  EXPECT_EQ(plan(8, 0).share(0), 1);
  EXPECT_NE(usage_error([&] { plan(2, 3); }).find("--search makes 2"), std::string::npos);
}

TrialResult with_value(double value, bool degenerate = false) { return {.done = true, .value = value, .degenerate = degenerate}; }
TrialResult failure() { return {.done = true, .exit_code = 4, .error = "diverged"}; }

// Mean and standard deviation as Python's statistics.mean and statistics.stdev have them.
TEST(RankingTest, ConfigurationsByMeanAndThoseWithFailuresLast) {
  const SweepPlan plan = plan_sweep({.search = {"a=1,2,3"}, .num_seeds = 4}, 1, 0);
  std::vector<TrialResult> results;
  for (int seed = 0; seed < 4; ++seed) {
    results.push_back(with_value(std::array{0.86, 0.88, 0.83, 0.9}[seed]));
    results.push_back(with_value(std::array{0.95, 0.95, 0.95, 0.5}[seed], seed == 3));
    results.push_back(seed == 0 ? failure() : with_value(0.99));
  }
  const auto best_first = ranked(summarize(plan, results, {0, 0, 0}, true), true);
  EXPECT_EQ(best_first[0].configuration, 0u);
  EXPECT_NEAR(*best_first[0].mean, 0.8675, 1e-12);
  EXPECT_NEAR(*best_first[0].sd, 0.029860788111948213, 1e-12);
  EXPECT_EQ(*best_first[0].best, 0.9);
  EXPECT_EQ(best_first[0].best_trial, 9u);
  EXPECT_EQ(best_first[1].configuration, 1u);
  EXPECT_EQ(best_first[1].degenerate, 1);
  EXPECT_EQ(best_first[2].failed, 1);
  EXPECT_EQ(best_first[2].values.size(), 3u);
  // All of the best configuration, then the next one's, without its degenerate run.
  EXPECT_EQ(best_trials(plan, best_first, results, true, 6), (std::vector<size_t>{9, 3, 0, 6, 1, 4}));
  EXPECT_EQ(best_trials(plan, best_first, results, true, 2), (std::vector<size_t>{9, 3}));

  const auto least_first = ranked(summarize(plan, results, {0, 0, 0}, false), false);
  EXPECT_EQ(least_first[0].configuration, 1u);
  EXPECT_EQ(*least_first[0].best, 0.5);
  // Further up the rungs is better, whatever the mean.
  EXPECT_EQ(ranked(summarize(plan, results, {0, 1, 0}, true), true)[0].configuration, 1u);
  EXPECT_EQ(
      sweep_table(plan, best_first, "eval_accuracy"),
      "| Rank | Configuration | a   | Runs | eval_accuracy mean | SD     | Best   | Best trial     | Degenerate | Failed |\n"
      "| :--: | :-----------: | :-: | :--: | :----------------: | :----: | :----: | :------------: | :--------: | :----: |\n"
      "| 1    | 0             | 1   | 4    | 0.8675             | 0.0299 | 0.9000 | trial-0-seed-4 |            |        |\n"
      "| 2    | 1             | 2   | 4    | 0.8375             | 0.2250 | 0.9500 | trial-1-seed-1 | 1          |        |\n"
      "| 3    | 2             | 3   | 4    | 0.9900             | 0.0000 | 0.9900 | trial-2-seed-2 |            | 1      |\n");
}

TEST(RankingTest, WithoutAnyValueThereIsNoMean) {
  const SweepPlan plan = plan_sweep({.search = {"a=1,2"}}, 1, 0);
  const std::vector<TrialResult> results{failure(), with_value(0.1)};
  const auto order = ranked(summarize(plan, results, {0, 0}, true), true);
  EXPECT_EQ(order[0].configuration, 1u);
  EXPECT_FALSE(order[1].mean);
  EXPECT_FALSE(order[0].sd);
  EXPECT_EQ(best_trials(plan, order, results, true, 5), std::vector<size_t>{1});
}

TrialProgress progress_of(const std::vector<std::pair<int64_t, double>>& evaluations, int64_t total) {
  TrialProgress progress;
  progress.total_steps = total;
  for (const auto& [step, value] : evaluations)
    progress.evaluations.push_back({step, std::isnan(value) ? Json{{"eval_f1", nullptr}} : Json{{"eval_f1", value}}});
  return progress;
}

TEST(TrialTest, TheEvaluationThatCountsIsTheFirstAfterItsShareOrTheBestUntilThen) {
  const TrialProgress progress = progress_of({{10, 0.5}, {20, 0.7}, {30, 0.6}, {40, 0.9}, {50, 0.8}}, 50);
  EXPECT_EQ(progress.last(0.1)->step, 10);
  EXPECT_EQ(progress.last(0.5)->step, 30);
  EXPECT_EQ(progress.last(1)->step, 50);
  EXPECT_EQ(progress.best("eval_f1", true, 0.5)->step, 20);
  EXPECT_EQ(progress.best("eval_f1", true, 1)->step, 40);
  EXPECT_EQ(progress.best("eval_f1", false, 1)->step, 10);
  EXPECT_TRUE(progress.has_trained(1));
  EXPECT_FALSE(progress_of({{10, 0.5}}, 50).has_trained(0.3));
  EXPECT_TRUE(progress_of({{10, 0.5}}, 50).has_trained(0.2));
  EXPECT_EQ(progress.best("eval_other", true, 1), nullptr);
  EXPECT_EQ(progress_of({}, 50).last(1), nullptr);
}

TEST(TrialTest, AValueThatIsNotFiniteIsNone) {
  const double none = std::nan("");
  const TrialProgress progress = progress_of({{10, none}, {20, 0.5}, {30, none}}, 30);
  EXPECT_FALSE(value_of(progress.last(1)->metrics, "eval_f1"));
  EXPECT_EQ(progress.best("eval_f1", true, 1)->step, 20);
  EXPECT_EQ(progress_of({{10, none}}, 10).best("eval_f1", true, 1), nullptr);
}

TEST(TrialTest, ARecordOutlivesTheProcessAndRubbishIsNone) {
  const test::TempDir folder;
  EXPECT_EQ(TrialRecord::read(folder / "").starts, 0);
  TrialRecord{.arguments = {"--seed=1"}, .starts = 2, .step = 30, .exit_code = 4, .error = "not \"finite\""}.write(folder / "");
  const TrialRecord record = TrialRecord::read(folder / "");
  EXPECT_EQ(record.starts, 2);
  EXPECT_EQ(record.step, 30);
  EXPECT_EQ(record.exit_code, 4);
  EXPECT_EQ(record.arguments, std::vector<std::string>{"--seed=1"});
  EXPECT_EQ(record.error, "not \"finite\"");
  EXPECT_TRUE(read_trial(folder / "").failed());
  for (const char* rubbish : {"", "[]", "{\"starts\": \"x\", \"error\": 3}", "{\"starts\""}) {
    std::ofstream(folder / kTrialFile) << rubbish;
    EXPECT_EQ(TrialRecord::read(folder / "").starts, 0) << rubbish;
    EXPECT_FALSE(read_trial(folder / "").failed());
  }
}

TEST(DegenerateTest, IsNoBetterThanGivingOneAnswer) {
  EXPECT_TRUE(is_degenerate(LabelShape::kClass, {{"eval_accuracy", 0.9}, {"eval_matthews_correlation", 0.0}}));
  EXPECT_FALSE(is_degenerate(LabelShape::kClass, {{"eval_accuracy", 0.4}, {"eval_matthews_correlation", 0.1}}));
  EXPECT_FALSE(is_degenerate(LabelShape::kClass, {{"eval_accuracy", 0.4}})) << "nobody can tell";
  EXPECT_TRUE(is_degenerate(LabelShape::kTokenClass, {{"eval_f1", 0.0}}));
  EXPECT_TRUE(is_degenerate(LabelShape::kFloat, {{"eval_pearson", nullptr}})) << "constant predictions have none";
  EXPECT_FALSE(is_degenerate(LabelShape::kFloat, {{"eval_pearson", 0.2}}));
  EXPECT_FALSE(is_degenerate(LabelShape::kNone, {{"eval_accuracy", 0.0}}));
}

TEST(SweepFolderTest, GoesOnWithMoreTrialsButNotWithOthers) {
  const Json before{{"data_sha256", "a"}, {"ranks_per_trial", 1}, {"halving_factor", 0}};
  check_same_sweep(before, before, "s");
  for (const char* key : {"data_sha256", "ranks_per_trial", "halving_factor"}) {
    Json now = before;
    now[key] = "other";
    EXPECT_NE(usage_error([&] { check_same_sweep(before, now, "s"); }).find(concat("another ", key)), std::string::npos);
  }
  EXPECT_THROW(check_same_sweep(Json::array(), before, "s"), Error);

  const auto given = that_count({"train", "--seed=42", "--model=m", "--threads=4", "--output-dir=s/x", "--data=d.h5"});
  EXPECT_EQ(given, (std::vector<std::string>{"--model=m", "--seed=42"}));
  check_same_trial("x", {}, given);
  check_same_trial("x", given, that_count({"train", "--model=m", "--seed=42", "--threads=2"}));
  EXPECT_NE(usage_error([&] {
              check_same_trial("x", given, that_count({"train", "--model=m", "--seed=43"}));
            }).find("x was begun with other options (--seed=42"),
            std::string::npos);
}

TEST(SweepFolderTest, AModelIsKnownByItsPath) {
  const test::TempDir folder;
  fs::create_directories(folder / "m");
  EXPECT_EQ(that_count({concat("--model=", (folder / "m/../m/").string())}),
            that_count({concat("--model=", (folder / "m").string())}));
}

TEST(SweepFolderTest, ATrialIsTakenOnceInARound) {
  const test::TempDir folder;
  const Claims one(folder / "s"), other(folder / "s");
  EXPECT_TRUE(one.take(1, 7));
  EXPECT_FALSE(other.take(1, 7));
  EXPECT_TRUE(other.take(2, 7));
  one.clear();
  EXPECT_TRUE(other.take(1, 7));
  one.stop_all();
  EXPECT_TRUE(fs::exists(other.stop_mark()));
  one.clear();
  EXPECT_FALSE(fs::exists(other.stop_mark()));
}

TEST(SweepFolderTest, TheEnsembleIsOfTrialsInTheFolder) {
  const test::TempDir folder;
  const std::string name = (folder / "s").string();
  EXPECT_EQ(ensemble_members("bert-base-uncased"), std::vector<std::string>{"bert-base-uncased"});
  fs::create_directories(name);
  EXPECT_EQ(ensemble_members(name), std::vector<std::string>{name});
  const auto write = [&](const char* text) { std::ofstream(fs::path(name) / kSweepFile) << text; };
  write(R"({"ensemble": ["trial-3", "trial-0"]})");
  EXPECT_EQ(ensemble_members(name), (std::vector<std::string>{name + "/trial-3", name + "/trial-0"}));
  for (const char* bad :
       {R"({"ensemble": []})", "{}", "[]", "{", R"({"ensemble": ["../x"]})", R"({"ensemble": ["/etc"]})", R"({"ensemble": [3]})",
        R"({"ensemble": [""]})", R"({"ensemble": 5})", R"({"ensemble": [".."]})", R"({"ensemble": ["."]})"}) {
    write(bad);
    EXPECT_THROW(ensemble_members(name), Error) << bad;
  }
}

}  // namespace
}  // namespace berth::train
