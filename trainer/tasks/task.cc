#include "trainer/tasks/task.h"

#include "data/check.h"
#include "trainer/tasks/choices.h"
#include "trainer/tasks/language_model.h"
#include "trainer/tasks/multi_label.h"
#include "trainer/tasks/question.h"
#include "trainer/tasks/sequence.h"
#include "trainer/tasks/tokens.h"

namespace berth::train {
namespace {

struct Entry {
  data::TaskKind kind;
  const Task& (*task)();
};

// Every task that can be trained.
constexpr Entry kTasks[] = {
    {data::TaskKind::kSequenceClassification, sequence_classification},
    {data::TaskKind::kRegression, regression},
    {data::TaskKind::kMultiLabel, multi_label},
    {data::TaskKind::kQuestionAnswering, question_answering},
    {data::TaskKind::kMultipleChoice, multiple_choice},
    {data::TaskKind::kNextSentencePrediction, next_sentence},
    {data::TaskKind::kMaskedLm, masked_lm},
    {data::TaskKind::kPretraining, pretraining},
    {data::TaskKind::kTokenClassification, token_classification},
};

}  // namespace

const Task& find_task(data::TaskKind kind) {
  for (const Entry& entry : kTasks)
    if (entry.kind == kind) return entry.task();
  fail(ExitCode::kUsage, "task ", data::task_info(kind).name, " cannot be trained by this version of berth");
}

}  // namespace berth::train
