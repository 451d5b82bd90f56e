#include "trainer/run/label_weights.h"

#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "tests/support/golden.h"
#include "tests/trainer/run/tiny_run.h"

namespace berth::train {
namespace {

using Weights = std::vector<double>;

const std::vector<std::string> kLabels{"ham", "spam", "a=b"};

TEST(BalancedClassWeights, AreScikitLearns) {
  for (const auto& one : nlohmann::json::parse(test::read_golden("class_weights.json"))) {
    const auto counts = one["counts"].get<std::vector<int64_t>>();
    const auto expected = one["weights"].get<Weights>();
    const Weights weights = balanced_class_weights(counts);
    ASSERT_EQ(weights.size(), expected.size());
    for (size_t c = 0; c < weights.size(); ++c) EXPECT_NEAR(weights[c], expected[c], 1e-15 * expected[c]);
  }
}

TEST(BalancedClassWeights, ClassesThatDoNotOccurDoNotChangeTheOthers) {
  EXPECT_EQ(balanced_class_weights(std::vector<int64_t>{3, 0, 5}), (Weights{8. / 6, 1, 0.8}));
  EXPECT_EQ(balanced_class_weights(std::vector<int64_t>{0, 0}), (Weights{1, 1}));
}

TEST(BalancedPosWeights, AreNegativesByPositives) {
  EXPECT_EQ(balanced_pos_weights(std::vector<int64_t>{2, 5, 0, 10}, 10), (Weights{4, 1, 1, 1}));
}

NamedWeights parsed(const std::string& text) { return parse_weight_file(text, "weights.txt"); }

TEST(WeightFile, IsAJsonObjectOrALineALabel) {
  const NamedWeights expected{{"ham", 1}, {"spam", 2.5}};
  EXPECT_EQ(parsed(R"( {"ham": 1, "spam": 2.5})"), expected);
  EXPECT_EQ(parsed("ham\t1\r\n\nspam\t2.5"), expected);
  EXPECT_EQ(parsed("a\tb\t3\n"), (NamedWeights{{"a\tb", 3}}));
  for (const char* text : {"ham 1", "ham\tone", "ham\t1x", "{\"ham\": \"1\"}", "{\"ham\": [1]}", "{\"ham\": 1",
                           "{\"a\": 1, \"a\": 1}", "{\"ham\": 1e999}"}) {
    const Outcome outcome = outcome_of([&] { parsed(text); });
    EXPECT_EQ(outcome.code, ExitCode::kBadInput) << text;
    EXPECT_NE(outcome.message.find("weights.txt"), std::string::npos) << outcome.message;
  }
  EXPECT_NE(outcome_of([] { parsed("ham\t1\n\nspam 2\n"); }).message.find("line 3"), std::string::npos);
}

TEST(WeightsOfLabels, EachLabelHasOneThatIsANumber) {
  const auto of = [](const NamedWeights& named) {
    return weights_of_labels(named, kLabels, {.name = "w", .failure = ExitCode::kBadInput});
  };
  EXPECT_EQ(of({{"a=b", 3}, {"spam", 0}, {"ham", 1}}), (Weights{1, 0, 3}));
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinite = std::numeric_limits<double>::infinity();
  const std::pair<NamedWeights, const char*> refused[] = {
      {{{"ham", 1}, {"spam", 2}}, "no weight for a=b; every label needs one: ham, spam, a=b"},
      {{}, "no weight for ham, spam, a=b"},
      {{{"ham", 1}, {"eggs", 2}}, "'eggs' is none of the labels: ham, spam, a=b"},
      {{{"ham", 1}, {"ham", 1}}, "'ham' has two weights"},
      {{{"ham", -1}}, "the weight of 'ham' must lie from 0 to 1e+09, got -1"},
      {{{"ham", nan}}, "got nan"},
      {{{"ham", infinite}}, "got inf"},
      {{{"ham", 0}, {"spam", 0}, {"a=b", 1e-60}}, "all weights are 0"},
  };
  for (const auto& [named, message] : refused) {
    const Outcome outcome = outcome_of([&] { of(named); });
    EXPECT_EQ(outcome.code, ExitCode::kBadInput) << message;
    EXPECT_NE(outcome.message.find(message), std::string::npos) << outcome.message;
  }
}

class LabelWeightsTest : public TinyRun {
 protected:
  static data::DatasetInfo info(data::TaskKind task) {
    data::DatasetInfo info;
    info.task = task;
    info.label_names = {"negative", "positive"};
    return info;
  }
  LabelWeights read(const std::vector<std::string>& items, data::TaskKind task = data::TaskKind::kSequenceClassification) {
    TrainOptions o = options();
    (task == data::TaskKind::kMultiLabel ? o.model_options.pos_weight : o.model_options.class_weights) = items;
    return read_label_weights(o, info(task), *comm_);
  }
};

TEST_F(LabelWeightsTest, AreReadFromOptionsOrAFile) {
  using enum data::TaskKind;
  EXPECT_FALSE(read({}).any());
  EXPECT_TRUE(read({"balanced"}).balanced);
  EXPECT_EQ(read({"positive=2", "negative=0.5"}).values, (Weights{0.5, 2}));
  EXPECT_EQ(read({"3.5"}, kMultiLabel).values, (Weights{3.5, 3.5}));
  const std::string file = folder_ / "weights.json";
  std::ofstream(file) << R"({"negative": 1, "positive": 7})";
  EXPECT_EQ(read({file}).values, (Weights{1, 7}));
  EXPECT_EQ(read({file}, kTokenClassification).values, (Weights{1, 7}));
  EXPECT_EQ(read({file}, kMultiLabel).values, (Weights{1, 7}));
  std::ofstream(file) << R"({"negative": 1, "neutral": 7})";
  const Outcome bad_file = outcome_of([&] { read({file}); });
  EXPECT_EQ(bad_file.code, ExitCode::kBadInput);
  EXPECT_TRUE(bad_file.message.starts_with(file + ": 'neutral'")) << bad_file.message;
  for (const std::vector<std::string>& items : {std::vector<std::string>{"balance"},
                                                {"3.5"},
                                                {"positive=2"},
                                                {"positive=2", "1"},
                                                {"positive=2x", "negative=1"},
                                                {"balanced", "positive=1"},
                                                {"neutral=1"},
                                                {"positive=nan", "negative=1"}}) {
    const Outcome outcome = outcome_of([&] { read(items); });
    EXPECT_EQ(outcome.code, ExitCode::kUsage) << items[0];
    EXPECT_TRUE(outcome.message.starts_with("--class-weights")) << outcome.message;
  }
}

TEST_F(LabelWeightsTest, OtherTasksRefuseThem) {
  using enum data::TaskKind;
  const auto refused = [&](const std::function<void(TrainOptions&)>& change, data::TaskKind task) {
    TrainOptions o = options();
    change(o);
    return outcome_of([&] { read_label_weights(o, info(task), *comm_); });
  };
  const auto weights = [](TrainOptions& o) { o.model_options.class_weights = {"balanced"}; };
  const auto positives = [](TrainOptions& o) { o.model_options.pos_weight = {"balanced"}; };
  const auto drawn = [](TrainOptions& o) { o.batch.weighted_sampling = true; };
  for (const data::TaskKind task : {kRegression, kMultiLabel, kQuestionAnswering, kMaskedLm, kPretraining}) {
    const Outcome outcome = refused(weights, task);
    EXPECT_EQ(outcome.code, ExitCode::kUsage);
    EXPECT_TRUE(outcome.message.starts_with("--class-weights is for")) << outcome.message;
    EXPECT_NE(outcome.message.find(data::task_info(task).name), std::string::npos) << outcome.message;
    EXPECT_TRUE(refused(drawn, task).message.starts_with("--weighted-sampling is for"));
  }
  for (const data::TaskKind task : {kSequenceClassification, kTokenClassification, kRegression})
    EXPECT_TRUE(refused(positives, task).message.starts_with("--pos-weight is for multi-label"));
  EXPECT_EQ(refused(drawn, kSequenceClassification).code, ExitCode::kOk);
  EXPECT_EQ(refused(drawn, kTokenClassification).code, ExitCode::kUsage);
}

TEST_F(LabelWeightsTest, AreCountedOverTheSamplesThatAreUsed) {
  const auto dataset = data::Dataset::open(*files_ / "data.h5");
  const auto train = dataset->split("train");
  data::Batch batch;
  train->read_labels(0, 25, batch);
  const auto positives = std::count(batch.labels.begin(), batch.labels.end(), 1);
  ASSERT_TRUE(positives > 0 && positives < 25);
  const Weights weights = count_label_weights({.balanced = true}, dataset->info(), *train, 25, *comm_);
  EXPECT_EQ(weights, balanced_class_weights(std::vector<int64_t>{25 - positives, positives}));
  EXPECT_EQ(count_label_weights({.values = {1, 2}}, dataset->info(), *train, 25, *comm_), (Weights{1, 2}));
  EXPECT_EQ(count_label_weights({}, dataset->info(), *train, 25, *comm_), Weights{});
  const data::BalancedDraws draws = balanced_draws(*train, 25, 1);
  for (int64_t i = 0; i < 200; ++i) EXPECT_LT(draws(0, i), 25);
}

}  // namespace
}  // namespace berth::train
