#include "data/samples/task.h"

#include <algorithm>

#include "data/check.h"

namespace berth::data {

const std::vector<TaskInfo>& tasks() {
  static const std::vector<TaskInfo> table{
      {TaskKind::kSequenceClassification, "sequence-classification", "classification", LabelShape::kClass, RecordKind::kText,
       128},
      {TaskKind::kRegression, "regression", "regression", LabelShape::kFloat, RecordKind::kText, 128},
      {TaskKind::kMultiLabel, "multi-label", "multilabel", LabelShape::kMultiHot, RecordKind::kText, 128},
      {TaskKind::kTokenClassification, "token-classification", "ner", LabelShape::kTokenClass, RecordKind::kWords, 128},
      {TaskKind::kQuestionAnswering, "question-answering", "qa", LabelShape::kSpan, RecordKind::kQuestions, 384},
      {TaskKind::kMaskedLm, "masked-lm", "mlm", LabelShape::kNone, RecordKind::kText, 128},
      {TaskKind::kPretraining, "pretraining", "pretraining", LabelShape::kNextSentence, RecordKind::kText, 128},
  };
  return table;
}

const TaskInfo& task_info(TaskKind kind) {
  for (const TaskInfo& task : tasks())
    if (task.kind == kind) return task;
  fail(ExitCode::kInternal, "task ", static_cast<int>(kind), " is missing from the table of tasks");
}

const TaskInfo& find_task(std::string_view name) {
  std::string wanted(name);
  std::replace(wanted.begin(), wanted.end(), '_', '-');
  std::string known;
  for (const TaskInfo& task : tasks()) {
    if (wanted == task.name || wanted == task.alias) return task;
    known += (known.empty() ? "" : ", ") + std::string(task.name);
  }
  fail(ExitCode::kUsage, "unknown task '", name, "'; known are: ", known);
}

}  // namespace berth::data
