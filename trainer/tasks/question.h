// Extractive question answering: the part of a context that answers a question.
//
// Evaluation keeps of each window its best spans and its loss (the training loss, which run_qa does not report); rank 0 puts a
// question's windows together. exact_match and f1 are the official script's, in percent. With version_2_with_negative also what
// Hugging Face's squad_v2 reports for run_qa's predictions (exact, f1, total, HasAns_…, NoAns_…); best_exact, best_f1 and their
// thresholds are those of the SQuAD 2.0 script given null_odds.json, so they can be passed on as --null-score-diff-threshold.
#pragma once

#include "trainer/tasks/task.h"

namespace berth::train {

const Task& question_answering();

}  // namespace berth::train
