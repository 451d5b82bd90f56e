// Answers chosen from random logits, against what Hugging Face's run_qa does with them (tests/golden/question_golden.py).
#include "trainer/metrics/answer_spans.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "data/check.h"
#include "trainer/metrics/answers.h"

namespace berth::train {
namespace {

using Json = nlohmann::json;

// The windows of a golden case, as evaluation would gather them.
std::vector<WindowSpans> windows_of(const Json& c, const SpanOptions& options) {
  std::vector<WindowSpans> windows;
  for (const Json& w : c["windows"]) {
    size_t begin = 0, end = w[2].size();
    while (begin < end && w[2][begin].is_null()) ++begin;
    while (end > begin && w[2][end - 1].is_null()) --end;
    WindowSpans window = best_spans(w[0].get<std::vector<float>>(), w[1].get<std::vector<float>>(), begin, end, options);
    EXPECT_LE(std::ssize(window.best), options.n_best_size);
    for (SpanCandidate& candidate : window.best) {
      candidate.begin = w[2][static_cast<size_t>(candidate.begin)][0];
      candidate.end = w[2][static_cast<size_t>(candidate.end)][1];
    }
    windows.push_back(std::move(window));
  }
  return windows;
}

TEST(AnswerSpans, AnswersAreTheReferences) {
  std::ifstream in(std::string(BERTH_SOURCE_DIR) + "/tests/golden/question_answers.json");
  const Json cases = Json::parse(in);
  ASSERT_GE(cases.size(), 100u);
  int none = 0, nowhere = 0;
  for (const Json& c : cases) {
    const SpanOptions options{.n_best_size = c["n_best_size"],
                              .max_answer_length = c["max_answer_length"],
                              .version_2_with_negative = c["version_2_with_negative"],
                              .null_score_diff_threshold = c["threshold"]};
    const ChosenAnswer chosen = choose_answer(windows_of(c, options), c["context"].get<std::string>(), options);
    EXPECT_EQ(chosen.answer().text, c["chosen"].get<std::string>());
    if (options.version_2_with_negative) {
      EXPECT_EQ(chosen.null_odds, c["null_odds"].get<float>());
    }
    ASSERT_EQ(chosen.n_best.size(), c["n_best"].size());
    for (size_t i = 0; i < chosen.n_best.size(); ++i) {
      const Json& expected = c["n_best"][i];
      EXPECT_EQ(chosen.n_best[i].start_logit, expected[0].get<float>());
      EXPECT_EQ(chosen.n_best[i].end_logit, expected[1].get<float>());
      EXPECT_EQ(chosen.n_best[i].text, expected[2].get<std::string>());
      EXPECT_NEAR(chosen.n_best[i].probability, expected[3].get<double>(), 1e-6);
    }
    none += chosen.answer().text.empty();
    nowhere += chosen.n_best[0].text == "empty";
  }
  EXPECT_GT(none, 5);
  EXPECT_GT(nowhere, 5);
}

TEST(AnswerSpans, OutputsThatAreNotFiniteAreAnError) {
  const std::vector<float> good{0, 1, 2, 3}, bad{0, 1, std::numeric_limits<float>::quiet_NaN(), 3};
  EXPECT_EQ(best_spans(good, good, 1, 3, {}).best.size(), 3u);
  EXPECT_THROW(best_spans(good, bad, 1, 3, {}), Error);
  EXPECT_THROW(best_spans(bad, good, 1, 3, {}), Error);
}

// Every threshold there is, one by one.
TEST(BestThreshold, IsTheBestOfAll) {
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    std::vector<JudgedAnswer> answers(1 + random() % 12);
    for (JudgedAnswer& a : answers) {
      a.has_answer = i % 5 == 0 ? false : i % 5 == 1 ? true : random() % 2 == 0;
      a.answered = random() % 4 != 0;
      a.score = a.has_answer ? (a.answered ? static_cast<double>(random() % 5) / 4 : 0) : !a.answered;
      a.null_odds = static_cast<double>(random()) / 1e9 - 2;
    }
    const auto score_at = [&](double threshold) {
      double sum = 0;
      for (const JudgedAnswer& a : answers) {
        const bool answered = a.answered && a.null_odds <= threshold;
        sum += a.has_answer ? (answered ? a.score : 0) : !answered;
      }
      return 100 * sum / static_cast<double>(answers.size());
    };
    double best = score_at(-1e9);
    for (const JudgedAnswer& a : answers) best = std::max(best, score_at(a.null_odds));
    const BestThreshold found = best_threshold(answers);
    EXPECT_NEAR(found.score, best, 1e-9);
    if (best > score_at(-1e9)) {
      EXPECT_NEAR(score_at(found.threshold), best, 1e-9);
    }
  }
}

}  // namespace
}  // namespace berth::train
