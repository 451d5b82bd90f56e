// Class labels: the names a data set has, in the order of their indexes.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

namespace berth::data {

// More classes than this is taken for a wrong column (a text or an id).
inline constexpr size_t kMaxLabels = 10000;

// How often each label stands in the training file.
using LabelCounts = std::map<std::string, int64_t>;

// Names in the order of their indexes: by value if all are integers, else by their bytes, as Hugging Face's scripts sort them.
std::vector<std::string> sort_labels(const LabelCounts& counts);

// Throws Error(kBadInput) if it is empty or holds a NUL, which the prepared file ends names with.
void check_label(const std::string& name);

class LabelSet {
 public:
  // Throws Error(kBadInput) if a name stands twice, is empty or holds a NUL.
  explicit LabelSet(std::vector<std::string> names);
  int32_t size() const { return static_cast<int32_t>(names_.size()); }
  const std::vector<std::string>& names() const { return names_; }
  // Throws Error(kBadInput), which lists the known labels.
  int32_t index(const std::string& name) const;
  bool contains(const std::string& name) const { return indexes_.count(name) > 0; }

 private:
  std::vector<std::string> names_;
  std::unordered_map<std::string, int32_t> indexes_;
};

}  // namespace berth::data
