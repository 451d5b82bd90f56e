// The tasks berth knows, as far as data are concerned: their names, the shape of their labels, what their texts are like. One
// table; what is true of some tasks only is a column of it, so that no other file lists tasks.
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
  kMultipleChoice,
  kNextSentencePrediction,
  kPretraining,  // masked-lm and next-sentence prediction together
};

// What a sample's label looks like in a file and in a Batch.
enum class LabelShape {
  kClass,         // [B] int32
  kFloat,         // [B] float
  kMultiHot,      // [B * num_labels] float, 0 or 1
  kTokenClass,    // [T] int32, kIgnoreIndex where there is no target
  kSpan,          // [2B] int32: first and last token of the answer within the sample (0, 0: none)
  kChoice,        // [B] int32: which of the sample's sequences is the right one
  kNextSentence,  // [B] int32: 0 if the second text follows the first, else 1
  kNone           // made on the fly
};

struct TaskInfo {
  TaskKind kind;
  std::string_view name;   // "sequence-classification"
  std::string_view alias;  // "classification"
  LabelShape labels;
  RecordKind records;
  int max_length = 128;                 // tokens of a sample where the user does not say
  bool has_label_names = false;         // labels are names of classes: a row has one, several, or one a word
  bool pools_windows = false;           // --doc-stride makes several sequences of a long text, and their outputs are pooled
  bool labels_point_into_text = false;  // at words or characters, so the texts must stay as they stand in the file
  bool is_language_model = false;       // learns from the texts alone, one a row; their files hold no labels
  bool has_documents = false;           // a sentence a row, documents separated by blank rows; a split takes whole documents

  // A text, or a pair, has a label as a whole.
  bool labels_texts() const;
};

const std::vector<TaskInfo>& tasks();
const TaskInfo& task_info(TaskKind kind);
// By name or alias, dashes or underscores alike. Throws Error(kUsage) listing the known names.
const TaskInfo& find_task(std::string_view name);

}  // namespace berth::data
