#include "data/demo/bag_of_words.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "data/check.h"

namespace berth::demo {
namespace {

std::vector<std::string> ngrams(std::string_view text) {
  const std::vector<std::string> unigrams = words(text);
  std::vector<std::string> all = unigrams;
  for (size_t i = 1; i < unigrams.size(); ++i) all.push_back(unigrams[i - 1] + ' ' + unigrams[i]);
  return all;
}

}  // namespace

BagOfWords::BagOfWords(const std::vector<Review>& train) : reviews_(static_cast<double>(train.size())) {
  check(!train.empty(), "the baseline has no reviews to learn from");
  for (const Review& review : train) {
    Label& label = labels_[review.label];
    ++label.reviews;
    for (const std::string& ngram : ngrams(review.text)) {
      ++label.counts[ngram];
      ++label.ngrams;
      vocabulary_.insert(ngram);
    }
  }
}

std::string BagOfWords::predict(std::string_view text) const {
  const std::vector<std::string> found = ngrams(text);
  std::string best;
  double best_score = -std::numeric_limits<double>::infinity();
  for (const auto& [name, label] : labels_) {
    double score = std::log(label.reviews / reviews_);
    for (const std::string& ngram : found) {
      if (!vocabulary_.contains(ngram)) continue;
      const auto count = label.counts.find(ngram);
      const double seen = count == label.counts.end() ? 0 : count->second;
      score += std::log((seen + 1) / (label.ngrams + static_cast<double>(vocabulary_.size())));
    }
    if (score > best_score) {
      best_score = score;
      best = name;
    }
  }
  return best;
}

double BagOfWords::accuracy(const std::vector<Review>& reviews) const {
  const auto right = std::count_if(reviews.begin(), reviews.end(),
                                   [this](const Review& review) { return predict(review.text) == review.label; });
  return static_cast<double>(right) / static_cast<double>(reviews.size());
}

}  // namespace berth::demo
