// From logits to answers, as postprocess_qa_predictions of Hugging Face's run_qa does it: in two steps, the first where a
// window's logits are, the second where all windows of a question have come together. Arithmetic is in fp32 there as here. Equal
// logits, whose order the reference leaves open, rank from the end of the window.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace berth::train {

struct SpanOptions {
  int64_t n_best_size = 20;              // candidates kept, of starts, of ends, and of answers
  int64_t max_answer_length = 30;        // tokens
  bool version_2_with_negative = false;  // "no answer" may be the answer
  double null_score_diff_threshold = 0;  // it is, if its score exceeds the best answer's by more than this

  void validate() const;  // Error(kUsage)
};

struct SpanCandidate {
  int32_t begin, end;  // first and last token of the window; after that, code points [begin, end) of the context
  float start_logit, end_logit;
  float score() const { return start_logit + end_logit; }
};

// What is kept of one window.
struct WindowSpans {
  float null_start = 0, null_end = 0;  // the logits of [CLS]
  std::vector<SpanCandidate> best;     // n_best_size at most, the best first
};

// Of a window whose context are the tokens [context_begin, context_end). Throws Error(kDiverged) if a logit is not finite.
WindowSpans best_spans(std::span<const float> start_logits, std::span<const float> end_logits, size_t context_begin,
                       size_t context_end, const SpanOptions& options);

struct RankedAnswer {
  std::string text;            // "" for no answer
  int32_t begin = 0, end = 0;  // code points of the context
  float start_logit = 0, end_logit = 0;
  double probability = 0;  // softmax over the list
};

struct ChosenAnswer {
  std::vector<RankedAnswer>
      n_best;           // never empty. Where no window has a candidate, an answer "empty" that stands nowhere leads it
  size_t chosen = 0;    // index into n_best
  float null_odds = 0;  // version_2_with_negative: score of "no answer", less the best answer's

  const RankedAnswer& answer() const { return n_best[chosen]; }
};

// `windows` in their order, at least one, with code points in their candidates.
ChosenAnswer choose_answer(std::span<const WindowSpans> windows, std::string_view context, const SpanOptions& options);

}  // namespace berth::train
