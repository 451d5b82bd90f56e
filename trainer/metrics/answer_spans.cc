#include "trainer/metrics/answer_spans.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/check.h"
#include "data/utf8.h"

namespace berth::train {
namespace {

// The tokens with the greatest logits, the greatest first.
std::vector<size_t> greatest(std::span<const float> logits, int64_t count) {
  std::vector<size_t> tokens(logits.size());
  std::iota(tokens.begin(), tokens.end(), size_t{0});
  const auto kept = tokens.begin() + std::min<int64_t>(count, std::ssize(tokens));
  std::partial_sort(tokens.begin(), kept, tokens.end(),
                    [&](size_t a, size_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a > b; });
  tokens.erase(kept, tokens.end());
  return tokens;
}

void keep_best(std::vector<SpanCandidate>& candidates, int64_t count) {
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const SpanCandidate& a, const SpanCandidate& b) { return a.score() > b.score(); });
  if (std::ssize(candidates) > count) candidates.resize(static_cast<size_t>(count));
}

// "No answer" is the candidate of no code points.
bool is_null(const SpanCandidate& candidate) { return candidate.begin == 0 && candidate.end == 0; }

SpanCandidate least_null(std::span<const WindowSpans> windows) {
  SpanCandidate least{0, 0, windows[0].null_start, windows[0].null_end};
  for (const WindowSpans& window : windows)
    if (window.null_start + window.null_end < least.score()) least = {0, 0, window.null_start, window.null_end};
  return least;
}

void add_probabilities(std::vector<RankedAnswer>& answers) {
  const auto score = [](const RankedAnswer& answer) { return static_cast<double>(answer.start_logit + answer.end_logit); };
  double largest = score(answers[0]), sum = 0;
  for (const RankedAnswer& answer : answers) largest = std::max(largest, score(answer));
  for (RankedAnswer& answer : answers) sum += answer.probability = std::exp(score(answer) - largest);
  for (RankedAnswer& answer : answers) answer.probability /= sum;
}

}  // namespace

void SpanOptions::validate() const {
  check_range("--n-best-size", n_best_size, 1, 1000);
  check_range("--max-answer-length", max_answer_length, 1, 1 << 16);
}

WindowSpans best_spans(std::span<const float> start_logits, std::span<const float> end_logits, size_t context_begin,
                       size_t context_end, const SpanOptions& options) {
  for (const auto& logits : {start_logits, end_logits})
    for (float logit : logits)
      if (!std::isfinite(logit)) fail(ExitCode::kDiverged, "the model's outputs are not finite");
  WindowSpans window{.null_start = start_logits[0], .null_end = end_logits[0], .best = {}};
  const auto in_context = [&](size_t token) { return token >= context_begin && token < context_end; };
  const std::vector<size_t> ends = greatest(end_logits, options.n_best_size);
  for (size_t first : greatest(start_logits, options.n_best_size))
    for (size_t last : ends)
      if (in_context(first) && in_context(last) && first <= last &&
          static_cast<int64_t>(last - first) < options.max_answer_length)
        window.best.push_back({static_cast<int32_t>(first), static_cast<int32_t>(last), start_logits[first], end_logits[last]});
  keep_best(window.best, options.n_best_size);
  return window;
}

ChosenAnswer choose_answer(std::span<const WindowSpans> windows, std::string_view context, const SpanOptions& options) {
  std::vector<SpanCandidate> candidates;
  for (const WindowSpans& window : windows) candidates.insert(candidates.end(), window.best.begin(), window.best.end());
  const SpanCandidate null = least_null(windows);
  if (options.version_2_with_negative) candidates.push_back(null);
  keep_best(candidates, options.n_best_size);
  if (options.version_2_with_negative && std::none_of(candidates.begin(), candidates.end(), is_null)) candidates.push_back(null);

  ChosenAnswer result;
  for (const SpanCandidate& c : candidates)
    result.n_best.push_back({.text = std::string(data::slice_code_points(context, c.begin, c.end)),
                             .begin = c.begin,
                             .end = c.end,
                             .start_logit = c.start_logit,
                             .end_logit = c.end_logit});
  if (result.n_best.empty() || (result.n_best.size() == 1 && result.n_best[0].text.empty()))
    result.n_best.insert(result.n_best.begin(), RankedAnswer{.text = "empty"});
  add_probabilities(result.n_best);
  if (!options.version_2_with_negative) return result;

  const auto answered = [](const RankedAnswer& answer) { return !answer.text.empty(); };
  const auto best = std::find_if(result.n_best.begin(), result.n_best.end(), answered);
  check(best != result.n_best.end(), "all answers are of no characters: the offsets of the tokens are damaged");
  result.null_odds = null.score() - best->start_logit - best->end_logit;
  const bool none = result.null_odds > static_cast<float>(options.null_score_diff_threshold);
  const auto chosen = none ? std::find_if_not(result.n_best.begin(), result.n_best.end(), answered) : best;
  result.chosen = static_cast<size_t>(chosen - result.n_best.begin());
  return result;
}

}  // namespace berth::train
