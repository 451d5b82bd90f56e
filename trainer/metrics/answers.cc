#include "trainer/metrics/answers.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <vector>

#include "data/tokenizer/answer_text.h"

namespace berth::train {
namespace {

using Words = std::vector<std::string>;

// Words that both have, as often as both have them.
int64_t shared_words(const Words& a, const Words& b) {
  std::map<std::string_view, int64_t> left;
  for (const std::string& word : a) ++left[word];
  return std::count_if(b.begin(), b.end(), [&](const std::string& word) {
    const auto found = left.find(word);
    return found != left.end() && found->second-- > 0;
  });
}

double f1_of(const Words& prediction, const Words& answer, SquadVersion version) {
  if (version == SquadVersion::kTwo && (prediction.empty() || answer.empty())) return prediction == answer ? 1.0 : 0.0;
  const int64_t shared = shared_words(prediction, answer);
  if (shared == 0) return 0;
  return 2.0 * static_cast<double>(shared) / static_cast<double>(prediction.size() + answer.size());
}

}  // namespace

AnswerScore score_answer(std::string_view prediction, std::span<const std::string> answers, SquadVersion version) {
  const Words predicted = data::answer_words(prediction);
  std::vector<Words> expected;
  for (const std::string& answer : answers) expected.push_back(data::answer_words(answer));
  if (version == SquadVersion::kTwo) {
    std::erase_if(expected, [](const Words& words) { return words.empty(); });
    if (expected.empty()) expected.emplace_back();
  }
  AnswerScore best;
  for (const Words& words : expected) {
    best.exact_match = std::max(best.exact_match, predicted == words ? 1.0 : 0.0);
    best.f1 = std::max(best.f1, f1_of(predicted, words, version));
  }
  return best;
}

BestThreshold best_threshold(std::span<const JudgedAnswer> answers) {
  std::vector<size_t> order(answers.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return answers[a].null_odds < answers[b].null_odds; });
  // With the lowest threshold nothing is answered, which is right where there is no answer.
  double score = static_cast<double>(
      std::count_if(answers.begin(), answers.end(), [](const JudgedAnswer& answer) { return !answer.has_answer; }));
  BestThreshold best{.score = score, .threshold = 0};
  for (size_t i : order) {
    score += answers[i].has_answer ? answers[i].score : answers[i].answered ? -1 : 0;
    if (score > best.score) best = {.score = score, .threshold = answers[i].null_odds};
  }
  best.score *= 100 / static_cast<double>(answers.size());
  return best;
}

}  // namespace berth::train
