// What the user chooses of how outputs become answers, in evaluation and prediction. Each task looks at its own.
#pragma once

#include "trainer/metrics/answer_spans.h"

namespace berth::train {

struct PredictionOptions {
  bool with_logits = false;  // predictions: the raw outputs, too
  bool with_n_best = false;  // predictions of answers: the n-best list, too
  SpanOptions spans = {};    // question answering

  void validate() const { spans.validate(); }  // Error(kUsage)
};

}  // namespace berth::train
