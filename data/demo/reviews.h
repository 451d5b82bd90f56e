// The demo's CSV files: one review a row, columns text and label, with a header line. RFC 4180, UTF-8, line feeds.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace berth::demo {

struct Review {
  std::string text;
  std::string label;
};

// Throws Error(kBadInput) with file and row, as the readers do.
std::vector<Review> read_reviews(const std::string& path);

// The rows as the file's text, header included; fields are quoted where they need it.
std::string to_csv(const std::vector<Review>& reviews);

// Lower-cased runs of two and more ASCII letters, digits and underscores: what scikit-learn's CountVectorizer takes as words.
std::vector<std::string> words(std::string_view text);

}  // namespace berth::demo
