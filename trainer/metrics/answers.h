// Metrics of extractive question answering, for one question. Equal to the official SQuAD scripts'; a data set's score is 100
// times the mean.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace berth::train {

struct AnswerScore {
  double exact_match = 0;  // 0 or 1
  double f1 = 0;           // of the words that prediction and answer share
};

// The scripts differ where nothing is left of an answer: in 1.1, words that are not there cannot be shared (F1 is 0); in 2.0, "no
// answer" to a question without answer is right, and answers of which nothing is left are not looked at if there are others.
enum class SquadVersion { kOne, kTwo };

// A question of SQuAD 2.0 and what was said of it.
struct JudgedAnswer {
  bool has_answer = false;  // the question has one
  bool answered = false;    // the prediction is not ""
  double score = 0;         // exact match or F1
  double null_odds = 0;     // how much likelier than the prediction "no answer" is
};

struct BestThreshold {
  double score = 0;      // 0 to 100
  double threshold = 0;  // of null_odds: answers are given up to it, and not above
};

// The best mean score that a threshold of null_odds reaches (find_best_thresh of the SQuAD 2.0 script; questions of equal odds
// count in their order).
BestThreshold best_threshold(std::span<const JudgedAnswer> answers);

// The best over `answers`, for exact match and F1 by themselves. Without answers: version 1 gives 0, version 2 expects "".
AnswerScore score_answer(std::string_view prediction, std::span<const std::string> answers, SquadVersion version);

}  // namespace berth::train
