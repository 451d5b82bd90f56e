// What an evaluation shows beyond its metrics: the same numbers as those, and the texts of the surest mistakes.
#include "trainer/tasks/analysis.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <sstream>

#include "data/check.h"
#include "tests/data/dataset_file.h"
#include "trainer/tasks/task.h"
#include "trainer/torch.h"

namespace berth::train {
namespace {

using Json = nlohmann::ordered_json;

// What a task makes of labels and logits that are both random.
struct Evaluated {
  Json analysis;
  std::map<std::string, double> metrics;
  std::vector<Json> predictions;  // of each sample
};

constexpr int64_t kSamples = 40;
constexpr int32_t kVocabSize = 30;

Evaluated evaluated(data::TaskKind kind, const std::vector<std::string>& labels, int64_t samples = kSamples) {
  const data::testing::TempDir folder;
  data::testing::write_dataset(folder / "data.h5", kind, samples, kVocabSize, static_cast<int32_t>(labels.size()));
  std::string vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
  for (int word = 5; word < kVocabSize; ++word) vocab += concat("word", word, "\n");
  data::testing::write_bytes(folder / "vocab.txt", vocab);
  const auto tokenizer = data::BertTokenizer::load(folder / "vocab.txt");
  const auto dataset = data::Dataset::open(folder / "data.h5");
  const auto split = dataset->split("train");
  const Task& task = find_task(kind);
  BertConfig config;
  task.configure(config, labels);
  std::vector<int64_t> all(static_cast<size_t>(samples));
  std::iota(all.begin(), all.end(), 0);
  data::Batch batch;
  split->read(all, batch);
  const data::TaskInfo& info = data::task_info(kind);
  const int64_t rows = info.labels == data::LabelShape::kChoice ? batch.sequences()
                       : info.labels_point_into_text            ? batch.tokens()
                                                                : batch.size();
  const int64_t width = info.labels == data::LabelShape::kChoice         ? 1
                        : info.labels == data::LabelShape::kNextSentence ? 2
                                                                         : std::ssize(config.label_names);
  at::manual_seed(1);
  PredictionOptions options;
  options.each_entity_type = true;
  std::vector<EvalRecord> records;
  task.record({at::randn({rows, width})}, batch, options, records);
  const EvalContext context{config, *split, options};
  std::string predictions;
  Evaluated result{task.analyse(records, context, {tokenizer, &predictions}), {}, {}};
  std::istringstream lines(predictions);
  for (std::string line; std::getline(lines, line);) result.predictions.push_back(Json::parse(line));
  for (const Metric& metric : task.evaluate(records, context).metrics) result.metrics[metric.name] = metric.value;
  return result;
}

TEST(Analysis, OfClassesHasTheMetricsNumbers) {
  const auto [analysis, metrics, predictions] = evaluated(data::TaskKind::kSequenceClassification, {"neg", "pos"});
  EXPECT_EQ(analysis["positive"], "pos");
  const Json& positive = analysis["classes"][1];
  EXPECT_EQ(positive["name"], "pos");
  EXPECT_EQ(positive["precision"], metrics.at("precision"));
  EXPECT_EQ(positive["recall"], metrics.at("recall"));
  EXPECT_EQ(positive["f1"], metrics.at("f1"));
  double right = 0, all = 0, in_bins = 0;
  for (const Json& cell : analysis["confusion"]["cells"]) {
    all += cell[2].get<double>();
    if (cell[0] == cell[1]) right += cell[2].get<double>();
  }
  for (const Json& bin : analysis["calibration"]["bins"]) in_bins += bin["count"].get<double>();
  EXPECT_EQ(all, kSamples);
  EXPECT_EQ(in_bins, kSamples);
  EXPECT_DOUBLE_EQ(right / all, metrics.at("accuracy"));
}

TEST(Analysis, OfManyClassesKeepsOnlyWhatIsThere) {
  std::vector<std::string> names;
  for (int c = 0; c < 300; ++c) names.push_back(concat("class", c));
  const Json analysis = evaluated(data::TaskKind::kSequenceClassification, names).analysis;
  EXPECT_EQ(analysis["classes"].size(), 300u);
  EXPECT_LE(analysis["confusion"]["cells"].size(), static_cast<size_t>(kSamples));
}

TEST(Analysis, MistakesAreTheSurestFirstWithTheirTexts) {
  const Json mistakes = evaluated(data::TaskKind::kSequenceClassification, {"a", "b", "c"}, 200).analysis["mistakes"];
  ASSERT_EQ(mistakes.size(), kMostMistakes);
  double before = 1;
  for (const Json& mistake : mistakes) {
    EXPECT_NE(mistake["actual"], mistake["predicted"]);
    EXPECT_LE(mistake["score"], before);
    before = mistake["score"];
    EXPECT_TRUE(mistake["text"].get<std::string>().starts_with("word")) << mistake;
    EXPECT_GT(mistake["row"], 0);
  }
}

// In the split's order, the right ones, too.
TEST(Analysis, PredictionsAreOfEverySample) {
  const auto [analysis, metrics, predictions] = evaluated(data::TaskKind::kSequenceClassification, {"a", "b", "c"}, 200);
  ASSERT_EQ(predictions.size(), 200u);
  double right = 0;
  for (size_t i = 0; i < predictions.size(); ++i) {
    right += predictions[i]["actual"] == predictions[i]["predicted"];
    EXPECT_TRUE(i == 0 || predictions[i]["row"] > predictions[i - 1]["row"]) << i;
    EXPECT_TRUE(predictions[i]["text"].is_string());
    EXPECT_GT(predictions[i]["score"], 1.0 / 3);
  }
  EXPECT_DOUBLE_EQ(right / 200, metrics.at("accuracy"));
  for (const Json& mistake : analysis["mistakes"])
    EXPECT_EQ(std::count(predictions.begin(), predictions.end(), mistake), 1) << mistake;
}

TEST(Analysis, OfLabelsHasTheMetricsNumbers) {
  const auto [analysis, metrics, predictions] = evaluated(data::TaskKind::kMultiLabel, {"x", "y", "z"});
  double f1 = 0;
  for (const Json& label : analysis["classes"]) f1 += label["f1"].get<double>() / 3;
  EXPECT_NEAR(f1, metrics.at("f1_macro"), 1e-12);
  EXPECT_TRUE(analysis["mistakes"][0]["actual"].is_array());
}

TEST(Analysis, OfEntitiesHasTheMetricsNumbers) {
  const auto [analysis, metrics, predictions] = evaluated(data::TaskKind::kTokenClassification, {"O", "B-PER", "I-PER"});
  ASSERT_EQ(analysis["classes"].size(), 1u);
  const Json& person = analysis["classes"][0];
  EXPECT_EQ(person["name"], "PER");
  EXPECT_EQ(person["f1"], metrics.at("PER_f1"));
  EXPECT_EQ(person["support"].get<double>(), metrics.at("PER_number"));
  EXPECT_NEAR(person["precision"].get<double>() * person["predicted"].get<double>(),
              person["recall"].get<double>() * person["support"].get<double>(), 1e-9)
      << "both are the right ones";
  EXPECT_EQ(analysis["confusion"]["names"], (Json{"O", "PER"}));
}

TEST(Analysis, OfNumbersAndChoices) {
  const auto [numbers, errors, of_numbers] = evaluated(data::TaskKind::kRegression, {"score"});
  double sum = 0;
  for (const Json& point : numbers["points"]) sum += std::pow(point[0].get<double>() - point[1].get<double>(), 2);
  EXPECT_NEAR(sum / kSamples, errors.at("mse"), 1e-9);
  EXPECT_GE(numbers["mistakes"][0]["error"], numbers["mistakes"][1]["error"]);
  const auto [choices, metrics, of_choices] = evaluated(data::TaskKind::kMultipleChoice, {"choice"});
  double right = 0;
  for (const Json& count : choices["scores"]["counts"][0]) right += count.get<double>();
  EXPECT_DOUBLE_EQ(right / kSamples, metrics.at("accuracy"));
}

TEST(Calibration, IsTheMeanGapBetweenScoreAndAccuracy) {
  Json analysis;
  const std::vector<Judged> judged{{0.95, true}, {0.95, false}, {0.62, true}, {1.0, true}, {std::nan(""), false}};
  add_calibration(analysis, std::span(judged).first(4));
  const double gap = 3.0 / 4 * std::abs(2.0 / 3 - 2.9 / 3) + 1.0 / 4 * (1 - 0.62);
  EXPECT_NEAR(analysis["calibration"]["error"].get<double>(), gap, 1e-12);
  EXPECT_EQ(analysis["scores"]["counts"][0], (Json{0, 0, 0, 0, 0, 0, 1, 0, 0, 2}));
  EXPECT_EQ(analysis["scores"]["counts"][1], (Json{0, 0, 0, 0, 0, 0, 0, 0, 0, 1}));
  add_calibration(analysis, judged);
  EXPECT_EQ(analysis["scores"]["counts"][1][0], 1) << "what is no number";
}

TEST(Clipped, EndsAtACodePoint) {
  std::string text;
  for (int i = 0; i < 500; ++i) text += "é";
  EXPECT_EQ(clipped(text).size(), 2 * static_cast<size_t>(kMostCharacters) + std::string("…").size());
  EXPECT_EQ(clipped("short"), "short");
}

}  // namespace
}  // namespace berth::train
