#include "data/demo/reviews.h"

#include <cctype>

#include "data/readers/reader.h"

namespace berth::demo {
namespace {

std::string quoted_if_needed(const std::string& field) {
  if (field.find_first_of(",\"\r\n") == std::string::npos) return field;
  std::string quoted = "\"";
  for (char c : field) quoted.append(c == '"' ? 2 : 1, c);
  return quoted + '"';
}

}  // namespace

std::vector<Review> read_reviews(const std::string& path) {
  const auto reader = data::open_reader(std::filesystem::path(path), {.columns = {.text = "text", .label = "label"}});
  std::vector<Review> reviews;
  for (data::Record record; reader->next(record);) reviews.push_back({record.text, record.labels.at(0)});
  return reviews;
}

std::string to_csv(const std::vector<Review>& reviews) {
  std::string csv = "text,label\n";
  for (const Review& review : reviews) csv += quoted_if_needed(review.text) + ',' + quoted_if_needed(review.label) + '\n';
  return csv;
}

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> found(1);
  for (unsigned char c : text) {
    if (c < 128 && (std::isalnum(c) || c == '_')) {
      found.back() += static_cast<char>(std::tolower(c));
    } else if (found.back().size() >= 2) {
      found.emplace_back();
    } else {
      found.back().clear();
    }
  }
  if (found.back().size() < 2) found.pop_back();
  return found;
}

}  // namespace berth::demo
