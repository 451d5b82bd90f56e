// What is done to texts before they are tokenized (data/text/normalize.h): kept in the data set and in the model that learned
// from it.
#pragma once

#include <string>
#include <vector>

namespace berth::data {

struct NormalizeOptions {
  bool html = false;        // strip_html() of data/text/html.h
  bool urls = false;        // replace_links()
  bool whitespace = false;  // collapse_whitespace()

  bool any() const { return html || urls || whitespace; }
  bool operator==(const NormalizeOptions&) const = default;
  // As names in the order in which they are applied, separated by commas: "html,urls,whitespace"; "" if there is none.
  std::string names() const;
  // Names in any order. Throws Error(kUsage) for an unknown one.
  static NormalizeOptions parse(const std::vector<std::string>& names);
  static NormalizeOptions parse(const std::string& names);  // as names() writes them
};

}  // namespace berth::data
