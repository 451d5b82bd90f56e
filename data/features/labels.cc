#include "data/features/labels.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "data/check.h"
#include "data/words.h"

namespace berth::data {
namespace {

std::optional<int64_t> as_integer(const std::string& text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::vector<std::string> sort_labels(const LabelCounts& counts) {
  std::vector<std::string> names;
  for (const auto& [name, count] : counts) names.push_back(name);
  const bool integers =
      std::all_of(names.begin(), names.end(), [](const std::string& name) { return as_integer(name).has_value(); });
  if (integers)
    std::stable_sort(names.begin(), names.end(), [](const auto& a, const auto& b) { return *as_integer(a) < *as_integer(b); });
  return names;
}

void check_label(const std::string& name) {
  check(!name.empty() && name.find('\0') == std::string::npos, "a label's name is empty or holds a NUL byte");
}

LabelSet::LabelSet(std::vector<std::string> names) : names_(std::move(names)) {
  for (const std::string& name : names_) {
    check_label(name);
    check(indexes_.emplace(name, static_cast<int32_t>(indexes_.size())).second, "the label '", name, "' is named twice");
  }
}

int32_t LabelSet::index(const std::string& name) const {
  const auto found = indexes_.find(name);
  if (found != indexes_.end()) return found->second;
  fail(ExitCode::kBadInput, "unknown label '", name, "'; the ", names_.size(), " labels are: ", listed(names_, 10),
       " (--label-names names all)");
}

}  // namespace berth::data
