#include "data/samples/task.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/data/dataset_file.h"

namespace berth::data {
namespace {

using namespace testing;

TEST(Tasks, AreFoundByNameAndAlias) {
  EXPECT_EQ(find_task("token_classification").kind, TaskKind::kTokenClassification);
  EXPECT_EQ(find_task("classification").kind, TaskKind::kSequenceClassification);
  EXPECT_EQ(find_task("mlm").name, "masked-lm");
  EXPECT_NE(error_of([] { find_task("sorting"); }).find("known are: sequence-classification, regression"), std::string::npos);
  for (const TaskInfo& task : tasks()) EXPECT_EQ(&task_info(task.kind), &task);
}

TEST(Tasks, AreAllInTheTableAndNoTwoShareAName) {
  std::set<std::string_view> names;
  for (const TaskInfo& task : tasks()) {
    EXPECT_TRUE(names.insert(task.name).second) << task.name;
    EXPECT_TRUE(task.alias == task.name || names.insert(task.alias).second) << task.alias;
  }
  EXPECT_EQ(tasks().size(), static_cast<size_t>(TaskKind::kPretraining) + 1) << "it is the last";
}

// Columns that must agree, whatever tasks there are.
TEST(Tasks, ColumnsFitTheShapeOfTheLabels) {
  const std::set<LabelShape> of_classes{LabelShape::kClass, LabelShape::kMultiHot, LabelShape::kTokenClass};
  const std::set<LabelShape> in_text{LabelShape::kTokenClass, LabelShape::kSpan};
  for (const TaskInfo& task : tasks()) {
    EXPECT_EQ(task.has_label_names, of_classes.contains(task.labels)) << task.name;
    EXPECT_EQ(task.labels_point_into_text, in_text.contains(task.labels)) << task.name;
    EXPECT_TRUE(task.is_language_model || task.labels != LabelShape::kNone) << task.name;
    EXPECT_EQ(task.labels == LabelShape::kChoice, task.records == RecordKind::kChoices) << task.name;
    EXPECT_TRUE(!task.pools_windows || task.records == RecordKind::kText) << task.name;
    EXPECT_EQ(task.labels == LabelShape::kSpan, task.records == RecordKind::kQuestions) << task.name;
    EXPECT_EQ(task.labels == LabelShape::kTokenClass, task.records == RecordKind::kWords) << task.name;
    EXPECT_TRUE(task.is_language_model || !task.has_documents) << task.name;
    EXPECT_GE(task.max_length, 128) << task.name;
  }
}

TEST(Tasks, OnlyPretrainingHasDocuments) {
  for (const TaskInfo& task : tasks()) EXPECT_EQ(task.has_documents, task.kind == TaskKind::kPretraining) << task.name;
}

}  // namespace
}  // namespace berth::data
