// A metric's kind: said where it is made, told from the name where it is read from a file, and the same either way.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/data/dataset_file.h"
#include "trainer/metrics/metrics.h"
#include "trainer/report/report.h"
#include "trainer/tasks/task.h"

namespace berth::train {
namespace {

constexpr int64_t kSamples = 8;
constexpr int32_t kVocabSize = 1000;
const std::vector<std::string> kTags = {"O", "B-PER", "I-PER"};

// A batch of a made-up data set; of language models, the first token is masked.
data::Batch batch_of(const data::TaskInfo& task, const data::Split& split) {
  std::vector<int64_t> samples(kSamples);
  for (size_t i = 0; i < samples.size(); ++i) samples[i] = static_cast<int64_t>(i);
  data::Batch batch;
  split.read(samples, batch);
  if (!task.is_language_model) return batch;
  batch.labels.insert(batch.labels.begin(), static_cast<size_t>(batch.tokens()), data::kIgnoreIndex);
  batch.labels[0] = 1;
  return batch;
}

// Of the shapes that the task's head gives, all zero.
std::vector<at::Tensor> logits_of(const data::TaskInfo& task, const data::Batch& batch, const BertConfig& config) {
  if (task.is_language_model) return {at::zeros({1, kVocabSize}), at::zeros({batch.size(), 2})};
  if (task.labels == data::LabelShape::kChoice) return {at::zeros({batch.sequences(), 1})};
  if (task.labels == data::LabelShape::kNextSentence) return {at::zeros({batch.size(), 2})};
  return {at::zeros({task.labels_point_into_text ? batch.tokens() : batch.size(), std::ssize(config.label_names)})};
}

// All metrics that a task has.
Metrics metrics_of(const data::TaskInfo& info) {
  const data::testing::TempDir folder;
  data::testing::write_dataset(folder / "data.h5", info.kind, kSamples, kVocabSize, static_cast<int32_t>(kTags.size()));
  const auto dataset = data::Dataset::open(folder / "data.h5");
  const auto split = dataset->split("train");
  const Task& task = find_task(info.kind);
  BertConfig config;
  task.configure(config, kTags);
  PredictionOptions options;
  options.each_entity_type = options.spans.version_2_with_negative = true;
  const data::Batch batch = batch_of(info, *split);
  std::vector<EvalRecord> records;
  task.record(logits_of(info, batch, config), batch, options, records);
  return task.evaluate(records, {config, *split, options}).metrics;
}

void expect_known(const Metrics& metrics, std::string_view of) {
  for (const Metric& metric : metrics) {
    EXPECT_EQ(metric_kind(metric.name), metric.kind) << of << ": " << metric.name;
    EXPECT_TRUE(metric.kind != MetricKind::kCount || metric.value == std::floor(metric.value)) << of << ": " << metric.name;
  }
}

TEST(MetricKind, OfEachTasksMetricsIsTheOneThatItsNameHasInFiles) {
  for (const data::TaskInfo& task : data::tasks()) {
    const Metrics metrics = metrics_of(task);
    ASSERT_FALSE(metrics.empty()) << task.name;
    EXPECT_EQ(metrics[0].name, "loss") << task.name;
    expect_known(metrics, task.name);
    expect_known(scalars(EvalReport{.metrics = metrics}), task.name);
  }
}

TEST(MetricKind, OfARunsOwnFiguresIsTheOneThatTheirNamesHaveInFiles) {
  const MemoryPeak memory{.cpu = 1, .gpu = 1};
  expect_known(scalars(LogReport{.seconds = 1, .flops = 1, .most_flops = 2, .memory = memory, .skipped = 2, .overflowed = 1}),
               "log");
  expect_known(scalars(TrainSummary{.seconds = 1, .flops = 1, .most_flops = 2, .memory = memory, .skipped = 2, .overflowed = 1}),
               "summary");
  Metrics speed;
  add_speed(speed, 2, 10, 3);
  expect_known(speed, "speed");
  EXPECT_EQ(metric_kind("eval_samples"), MetricKind::kCount);
}

TEST(MetricKind, IsToldByWholeWordsAtTheEndOfAName) {
  EXPECT_EQ(metric_kind("eval_next_sentence_loss"), MetricKind::kLoss);
  EXPECT_EQ(metric_kind("test_HasAns_total"), MetricKind::kCount);
  EXPECT_EQ(metric_kind("eval_number_f1"), MetricKind::kScore) << "of a type of entity";
  EXPECT_EQ(metric_kind("eval_gloss"), MetricKind::kScore);
  EXPECT_EQ(metric_kind("eval_subtotal"), MetricKind::kScore);
}

TEST(MetricKind, LessIsBetterOfLossesOnly) {
  for (const char* name : {"loss", "mlm_loss", "perplexity", "mse"}) EXPECT_FALSE(greater_is_better(metric_kind(name))) << name;
  for (const char* name : {"accuracy", "PER_f1", "pearson", "exact_match", "roc_auc_macro"})
    EXPECT_TRUE(greater_is_better(metric_kind(name))) << name;
}

}  // namespace
}  // namespace berth::train
