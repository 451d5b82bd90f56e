// The baseline that the encoder has to beat: multinomial naive Bayes over word unigrams and bigrams, Laplace smoothing 1.
// The same as scikit-learn's MultinomialNB() on CountVectorizer(ngram_range=(1, 2)).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "data/demo/reviews.h"

namespace berth::demo {

class BagOfWords {
 public:
  // Throws Error(kBadInput) when there are no reviews.
  explicit BagOfWords(const std::vector<Review>& train);

  // The likeliest label; n-grams that training never saw are ignored, a tie goes to the label that sorts first.
  std::string predict(std::string_view text) const;

  // The share of reviews whose label is predicted.
  double accuracy(const std::vector<Review>& reviews) const;

 private:
  struct Label {
    double reviews = 0, ngrams = 0;
    std::unordered_map<std::string, double> counts;
  };

  std::map<std::string, Label> labels_;
  std::unordered_set<std::string> vocabulary_;
  double reviews_ = 0;
};

}  // namespace berth::demo
