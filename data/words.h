// Numbers, lists and near misses in messages.
#pragma once

#include <functional>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/check.h"

namespace berth {

// "1 row", "2 rows", "0 rows": `noun` is singular and takes an s.
template <class Number>
std::string counted(Number number, const std::string& noun) {
  return std::to_string(number) + " " + noun + (number == 1 ? "" : "s");
}

// "a, b, c": what `text` makes of each item, anything that concat() takes.
template <class Range, class Text = std::identity>
std::string joined(const Range& items, std::string_view separator = ", ", const Text& text = {}) {
  std::string all;
  bool first = true;
  for (const auto& item : items) {
    if (!std::exchange(first, false)) all += separator;
    all += concat(std::invoke(text, item));
  }
  return all;
}

// The same of the first `most` items alone, and "…" for the others.
template <class Range, class Text = std::identity>
std::string listed(const Range& items, size_t most, const Text& text = {}) {
  const bool all = std::size(items) <= most;
  const auto begin = std::begin(items);
  using Items = std::vector<typename std::iterator_traits<decltype(begin)>::value_type>;
  return joined(Items(begin, std::next(begin, static_cast<ptrdiff_t>(all ? std::size(items) : most))), ", ", text) +
         (all ? "" : ", …");
}

// Levenshtein's distance in bytes.
size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace berth
