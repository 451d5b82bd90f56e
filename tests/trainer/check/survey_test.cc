#include "trainer/check/survey.h"

#include "data/store/writer.h"
#include "tests/support/temp_dir.h"
#include "tests/trainer/check/judged.h"

namespace berth::preflight {
namespace {

using data::Sample;
using data::TaskKind;

Sample sample(std::vector<int32_t> ids, int32_t label, bool truncated = false) {
  Sample made{.row = 1, .input_ids = std::move(ids), .labels = {label}};
  made.segment_b = static_cast<int32_t>(made.input_ids.size());
  made.cut = truncated ? 1 : 0;
  return made;
}

// Of a file with these samples and three labels.
DataFacts survey_of(const std::vector<Sample>& train, const std::vector<Sample>& validation, SurveyOptions options = {},
                    TaskKind task = TaskKind::kSequenceClassification) {
  const test::TempDir folder;
  data::DatasetInfo info;
  info.task = task;
  info.label_names = {"a", "b", "c"};
  info.max_length = 4;
  info.vocab_size = 100;
  {
    data::DatasetWriter writer(folder / "data.h5", task, info.vocab_size, 3);
    const int first = writer.add_split("train");
    for (const Sample& one : train) writer.append(first, one);
    if (!validation.empty()) {
      const int second = writer.add_split("validation");
      for (const Sample& one : validation) writer.append(second, one);
    }
    writer.commit(info);
  }
  const auto dataset = data::Dataset::open(folder / "data.h5");
  const auto split = dataset->split("train"), other = validation.empty() ? nullptr : dataset->split("validation");
  options.train_in_file = split->size();
  return survey(dataset->info(), *split, other.get(), options);
}

// A sample of each label, `of_each` times, all different.
std::vector<Sample> balanced(int of_each) {
  std::vector<Sample> samples;
  for (int i = 0; i < 3 * of_each; ++i) samples.push_back(sample({1, 2 + i % 97, 2 + i / 97}, i % 3));
  return samples;
}

TEST(Survey, AGoodDataSet) {
  const DataFacts facts = survey_of(balanced(20), {sample({1, 99, 9}, 0), sample({1, 99, 8}, 1), sample({1, 99, 7}, 2)});
  EXPECT_EQ(facts.train.looked_at, 60);
  EXPECT_EQ(facts.train.of_label, (std::vector<int64_t>{20, 20, 20}));
  expect_one(judge_labels(facts, {}), Level::kOk, "3 labels, a 33.3 % to c 33.3 %");
  expect(judge_truncation(facts), Level::kOk, "no sample was cut to 4 tokens");
  const Findings repeats = judge_repeats(facts);
  ASSERT_EQ(repeats.size(), 2u);
  expect(repeats[0], Level::kOk, "no training sample occurs twice");
  expect(repeats[1], Level::kOk, "none of 3 validation samples are also trained on");
}

TEST(Survey, LabelsThatAreRareOrMissing) {
  std::vector<Sample> train = balanced(20);
  for (int i = 0; i < 300; ++i) train.push_back(sample({2, i % 90, i / 90}, 0));
  const DataFacts rare = survey_of(train, {});
  expect_one(judge_labels(rare, {}), Level::kWarning, "the rarest of 3 labels, b, is of 20 of 360 samples (5.6 %)",
             "--class-weights balanced");
  expect_one(judge_labels(rare, {.weighted = true}), Level::kOk, "weighted");
  const DataFacts missing = survey_of({sample({1, 2}, 0), sample({1, 3}, 1)}, {sample({1, 4}, 0)});
  const Findings findings = judge_labels(missing, {});
  ASSERT_EQ(findings.size(), 2u);
  expect(findings[0], Level::kWarning, "no training sample has c", "--label-names");
  expect(findings[1], Level::kWarning, "no validation sample has b, c", "--validation-split");
  expect_one(judge_labels(survey_of({sample({1, 2}, 1), sample({1, 3}, 1)}, {}), {}), Level::kError,
             "all training samples have one label, of 3", "--label-column");
}

TEST(Survey, SamplesThatWereCut) {
  std::vector<Sample> train = balanced(3);
  train.push_back(sample({1, 2, 3, 4}, 0, true));
  DataFacts facts = survey_of(train, {});
  expect(judge_truncation(facts), Level::kWarning, "1 of 10 samples (10 %) were cut to 4 tokens", "--doc-stride");
  facts.train.truncated.reset();  // as of a file of an older berth
  const Finding unknown = judge_truncation(facts);
  EXPECT_EQ(unknown.level, Level::kUnknown);
  EXPECT_NE(unknown.found.find("at most 1 of 10 samples"), std::string::npos) << unknown.found;
}

TEST(Survey, SamplesThatOccurTwiceOrContradict) {
  std::vector<Sample> train = balanced(3);
  train.push_back(train[0]);
  train.push_back(train[1]);
  train.back().labels = {2};
  Sample pair = train[2];  // the same tokens in two segments are another sample
  pair.segment_b = 1;
  train.push_back(pair);
  const DataFacts facts = survey_of(train, {});
  EXPECT_EQ(facts.train.repeated, 2);
  EXPECT_EQ(facts.train.contradictory, 2);
  const Findings findings = judge_repeats(facts);
  ASSERT_EQ(findings.size(), 3u);
  expect(findings[0], Level::kWarning, "2 of 12 samples (16.7 %) are the same as another one with another label", "agree");
  expect(findings[1], Level::kWarning, "2 of 12 samples (16.7 %) repeat an earlier one", "keep one");
  EXPECT_EQ(findings[2].level, Level::kUnknown);
}

TEST(Survey, ValidationSamplesThatAreTrainedOn) {
  const std::vector<Sample> train = balanced(20);
  Sample relabelled = train[7];
  relabelled.labels = {0};
  std::vector<Sample> validation{relabelled, sample({1, 99, 9}, 0)};
  EXPECT_EQ(survey_of(train, validation).leaked, 1);
  expect(judge_repeats(survey_of(train, validation))[1], Level::kError, "1 of 2 validation samples (50 %) is also trained on",
         "by heart");
  for (int i = 0; i < 20; ++i) validation.push_back(sample({3, i}, 1));
  expect(judge_repeats(survey_of(train, validation))[1], Level::kWarning, "1 of 22 validation samples (4.5 %)", "take them out");
  EXPECT_EQ(survey_of(train, validation, {.max_train_samples = 7}).leaked, 0) << "not trained on";
}

TEST(Survey, SaysHowFarItLooked) {
  const std::vector<Sample> train = balanced(20);
  const DataFacts facts = survey_of(train, {}, {.most_samples = 30});
  EXPECT_EQ(facts.train.looked_at, 30);
  expect_one(judge_labels(facts, {}), Level::kOk, "(looked at the first 30 of 60)");
  std::vector<Sample> many = balanced(1000);
  EXPECT_EQ(survey_of(many, {}, {.patience = std::chrono::duration<double>(0)}).train.looked_at, 1024) << "one block in any case";
}

TEST(Survey, EveryShapeOfLabels) {
  const auto of_task = [](TaskKind task, std::vector<Sample> samples) { return survey_of(samples, {}, {}, task); };
  Sample tokens = sample({1, 2, 3}, 0), hot = sample({1, 2, 3}, 0), number = sample({1, 2, 3}, 0);
  tokens.labels = {data::kIgnoreIndex, 2, 1};
  EXPECT_EQ(of_task(TaskKind::kTokenClassification, {tokens}).train.of_label, (std::vector<int64_t>{0, 1, 1}));
  hot.labels.clear();
  hot.float_labels = {1, 0, 1};
  EXPECT_EQ(of_task(TaskKind::kMultiLabel, {hot}).train.of_label, (std::vector<int64_t>{1, 0, 1}));
  expect_one(judge_labels(survey_of({hot}, {}, {}, TaskKind::kMultiLabel), {}), Level::kWarning, "no training sample has b",
             "more data");
  Sample rare = hot;
  rare.float_labels = {1, 1, 1};
  std::vector<Sample> many(200, hot);
  many.push_back(rare);
  const Findings findings = judge_labels(survey_of(many, {}, {}, TaskKind::kMultiLabel), {});
  expect_one(findings, Level::kWarning, "the rarest of 3 labels, b, is of 1 of 201 samples (0.5 %)", "--pos-weight balanced");
  number.labels.clear();
  number.float_labels = {0.5f};
  Sample other = number;
  other.float_labels = {0.75f};
  const DataFacts regression = of_task(TaskKind::kRegression, {number, other});
  EXPECT_EQ(regression.train.contradictory, 2);
  expect_one(judge_labels(regression, {}), Level::kOk, "regression has no classes");
}

}  // namespace
}  // namespace berth::preflight
