// What the user chooses of how outputs become answers, in evaluation and prediction. Each task looks at its own.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/check.h"
#include "trainer/metrics/answer_spans.h"
#include "trainer/metrics/entities.h"

namespace berth::train {

struct PredictionOptions {
  bool with_logits = false;                    // predictions: the raw outputs, too
  bool with_n_best = false;                    // predictions of answers: the n-best list, too
  SpanOptions spans = {};                      // question answering
  int64_t top_k = 5;                           // masked-lm: tokens proposed for each [MASK]
  std::vector<std::string> thresholds = {};    // multi-label: see label_thresholds()
  TagScheme tag_scheme = TagScheme::kLenient;  // token classification, metrics
  bool each_entity_type = false;               // token classification, metrics: each type's precision, recall, f1 and number, too

  // Error(kUsage).
  void validate() const {
    spans.validate();
    check_range("--top-k", top_k, 1, 1 << 20);
  }
};

}  // namespace berth::train
