#include "data/tokenizer/wordpiece.h"

#include <algorithm>
#include <utility>

namespace berth::data {
namespace {

constexpr size_t kByteValues = 256;

// Tokens with their ids in byte order; of equal tokens the last one counts.
std::vector<std::pair<std::string_view, int32_t>> sorted_entries(const std::vector<std::string>& tokens) {
  std::vector<std::pair<std::string_view, int32_t>> entries;
  for (size_t i = 0; i < tokens.size(); ++i)
    if (!tokens[i].empty()) entries.emplace_back(tokens[i], static_cast<int32_t>(i));
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return a.first != b.first ? a.first < b.first : a.second > b.second; });
  entries.erase(std::unique(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.first == b.first; }),
                entries.end());
  return entries;
}

}  // namespace

WordPiece::WordPiece(const std::vector<std::string>& tokens) {
  const auto entries = sorted_entries(tokens);
  struct Task {
    size_t begin, end, depth;
    int32_t node;
  };
  std::vector<Task> tasks{{0, entries.size(), 0, 0}};
  units_.resize(2 * kByteValues);
  units_[0].parent = 0;
  size_t search_from[2] = {kByteValues, kByteValues};  // for nodes with one child, and with several
  std::string bytes;                                   // of the children
  std::vector<size_t> starts;                          // where the entries of each begin, and where the last one's end
  while (!tasks.empty()) {
    auto [begin, end, depth, node] = tasks.back();
    tasks.pop_back();
    if (begin < end && entries[begin].first.size() == depth) units_[node].id = entries[begin++].second;
    bytes.clear();
    starts.clear();
    for (size_t i = begin; i < end; ++i) {
      const char byte = entries[i].first[depth];
      if (!bytes.empty() && bytes.back() == byte) continue;
      bytes += byte;
      starts.push_back(i);
    }
    starts.push_back(end);
    if (bytes.empty()) continue;
    units_[node].base = find_base(bytes, search_from[bytes.size() > 1]);
    for (size_t k = 0; k < bytes.size(); ++k) {
      const int32_t child = units_[node].base + static_cast<unsigned char>(bytes[k]);
      units_[child].parent = node;
      tasks.push_back({starts[k], starts[k + 1], depth + 1, child});
    }
  }
  continuation_ = child(child(0, '#'), '#');
}

// A base that puts the children `bytes` (ascending) on free units. First fit from `from` on, which moves past what is full, and
// past what took long: nodes with one child fill the gaps.
int32_t WordPiece::find_base(std::string_view bytes, size_t& from) {
  constexpr size_t kLongSearch = 512;
  const auto free = [&](size_t unit) { return units_[unit].parent < 0; };
  const auto offset = [&](size_t k) {
    return static_cast<size_t>(static_cast<unsigned char>(bytes[k]) - static_cast<unsigned char>(bytes[0]));
  };
  const auto fits = [&](size_t first) {
    for (size_t k = 0; k < bytes.size(); ++k)
      if (!free(first + offset(k))) return false;
    return true;
  };
  while (!free(from)) ++from;
  size_t first = from;
  for (; !fits(first); ++first)
    if (first + 2 * kByteValues > units_.size()) units_.resize(2 * units_.size());
  if (first + 2 * kByteValues > units_.size()) units_.resize(2 * units_.size());
  if (first - from > kLongSearch) from = first;
  return static_cast<int32_t>(first - static_cast<unsigned char>(bytes[0]));
}

int32_t WordPiece::child(int32_t node, char byte) const {
  const int32_t next = units_[node].base + static_cast<unsigned char>(byte);
  return units_[next].parent == node ? next : static_cast<int32_t>(units_.size()) - 1;  // the last unit is never used
}

size_t WordPiece::count_characters(std::string_view word) {
  return static_cast<size_t>(std::count_if(word.begin(), word.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

}  // namespace berth::data
