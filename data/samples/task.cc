#include "data/samples/task.h"

#include <algorithm>

#include "data/check.h"
#include "data/words.h"

namespace berth::data {

const std::vector<TaskInfo>& tasks() {
  static const std::vector<TaskInfo> table{
      {.kind = TaskKind::kSequenceClassification,
       .name = "sequence-classification",
       .alias = "classification",
       .labels = LabelShape::kClass,
       .records = RecordKind::kText,
       .has_label_names = true,
       .pools_windows = true},
      {.kind = TaskKind::kRegression,
       .name = "regression",
       .alias = "regression",
       .labels = LabelShape::kFloat,
       .records = RecordKind::kText,
       .pools_windows = true},
      {.kind = TaskKind::kMultiLabel,
       .name = "multi-label",
       .alias = "multilabel",
       .labels = LabelShape::kMultiHot,
       .records = RecordKind::kText,
       .has_label_names = true,
       .pools_windows = true},
      {.kind = TaskKind::kTokenClassification,
       .name = "token-classification",
       .alias = "ner",
       .labels = LabelShape::kTokenClass,
       .records = RecordKind::kWords,
       .has_label_names = true,
       .labels_point_into_text = true},
      {.kind = TaskKind::kQuestionAnswering,
       .name = "question-answering",
       .alias = "qa",
       .labels = LabelShape::kSpan,
       .records = RecordKind::kQuestions,
       .max_length = 384,
       .labels_point_into_text = true},
      {.kind = TaskKind::kMultipleChoice,
       .name = "multiple-choice",
       .alias = "multiple-choice",
       .labels = LabelShape::kChoice,
       .records = RecordKind::kChoices},
      {.kind = TaskKind::kNextSentencePrediction,
       .name = "next-sentence-prediction",
       .alias = "nsp",
       .labels = LabelShape::kNextSentence,
       .records = RecordKind::kText},
      {.kind = TaskKind::kMaskedLm,
       .name = "masked-lm",
       .alias = "mlm",
       .labels = LabelShape::kNone,
       .records = RecordKind::kText,
       .is_language_model = true},
      {.kind = TaskKind::kPretraining,
       .name = "pretraining",
       .alias = "pretraining",
       .labels = LabelShape::kNextSentence,
       .records = RecordKind::kText,
       .is_language_model = true,
       .has_documents = true},
  };
  return table;
}

bool TaskInfo::labels_texts() const {
  using enum LabelShape;
  return labels == kClass || labels == kFloat || labels == kMultiHot;
}

const TaskInfo& task_info(TaskKind kind) {
  for (const TaskInfo& task : tasks())
    if (task.kind == kind) return task;
  fail(ExitCode::kInternal, "task ", static_cast<int>(kind), " is missing from the table of tasks");
}

const TaskInfo& find_task(std::string_view name) {
  std::string wanted(name);
  std::replace(wanted.begin(), wanted.end(), '_', '-');
  for (const TaskInfo& task : tasks())
    if (wanted == task.name || wanted == task.alias) return task;
  fail(ExitCode::kUsage, "unknown task '", name, "'; known are: ", joined(tasks(), ", ", &TaskInfo::name));
}

}  // namespace berth::data
