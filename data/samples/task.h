// The tasks berth knows, as far as data are concerned: names and the shape of their labels. One table; everything else is looked
// up in it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "data/samples/record.h"

namespace berth::data {

enum class TaskKind {
  kSequenceClassification,
  kRegression,
  kMultiLabel,
  kTokenClassification,
  kQuestionAnswering,
  kMaskedLm,
  kPretraining,  // masked-lm and next-sentence prediction together
};

// What a sample's label looks like in a file and in a Batch.
enum class LabelShape {
  kClass,         // [B] int32
  kFloat,         // [B] float
  kMultiHot,      // [B * num_labels] float, 0 or 1
  kTokenClass,    // [T] int32, kIgnoreIndex where there is no target
  kSpan,          // [2B] int32: first and last token of the answer within the sample (0, 0: none)
  kNextSentence,  // [B] int32: 0 if the second text follows the first, else 1
  kNone           // made on the fly
};

struct TaskInfo {
  TaskKind kind;
  std::string_view name;   // "sequence-classification"
  std::string_view alias;  // "classification"
  LabelShape labels;
  RecordKind records;
  int max_length;  // tokens of a sample where the user does not say
};

const std::vector<TaskInfo>& tasks();
const TaskInfo& task_info(TaskKind kind);
// By name or alias, dashes or underscores alike. Throws Error(kUsage) listing the known names.
const TaskInfo& find_task(std::string_view name);

}  // namespace berth::data
