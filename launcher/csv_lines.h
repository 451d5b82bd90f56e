// Predictions as CSV (RFC 4180), for spreadsheets and data frames.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace berth::launch {

class CsvLines {
 public:
  using Row = std::vector<std::pair<std::string, nlohmann::ordered_json>>;

  // The line of what was given and of what was predicted, before the first one the header: `given`'s names, then `predicted`'s keys, of
  // which one that is a name already is called predicted_…. An object in `predicted` has a column for each of its keys
  // ("scores.positive"), a list is its JSON. A name that the first row did not have is left out, one that it had alone is empty.
  std::string operator()(const Row& given, const nlohmann::ordered_json& predicted);

 private:
  std::vector<std::string> given_, predicted_;
};

}  // namespace berth::launch
