#include "data/features/choices.h"

#include <algorithm>
#include <charconv>

#include "data/check.h"

namespace berth::data {
namespace {

int32_t index_of(const std::string& label, size_t choices) {
  int64_t index = -1;
  const auto [end, error] = std::from_chars(label.data(), label.data() + label.size(), index);
  const bool number = error == std::errc() && end == label.data() + label.size();
  if (!number && label.size() == 1 && label[0] >= 'A' && label[0] <= 'Z') index = label[0] - 'A';
  if (!number && label.size() == 1 && label[0] >= 'a' && label[0] <= 'z') index = label[0] - 'a';
  check(index >= 0 && index < static_cast<int64_t>(choices), "the label '", label, "' is none of the ", choices,
        " choices: give its number, from 0, or its letter, from A");
  return static_cast<int32_t>(index);
}

}  // namespace

void ChoiceFeatures::make(const Record& record, std::vector<Sample>& samples) const {
  check(record.choices.size() > 1, "a question needs at least two choices, this one has ", record.choices.size());
  check(record.choices.size() <= kMostSequences, "there are ", record.choices.size(), " choices, at most ", kMostSequences,
        " can be computed together");
  check(record.labels.size() <= 1, "the row has ", record.labels.size(), " labels, expected one");
  Sample& sample = samples.emplace_back();
  sample.row = record.row;
  for (const std::string& choice : record.choices) {
    const Encoding encoding = tokenizer_.encode_pair(record.text, record.text_pair + " " + choice, max_length_);
    sample.cut = std::max(sample.cut, encoding.cut);
    Sequence sequence{ids_of(encoding), encoding.segment_b};
    if (&choice != record.choices.data()) {
      sample.further.push_back(std::move(sequence));
      continue;
    }
    sample.input_ids = std::move(sequence.input_ids);
    sample.segment_b = sequence.segment_b;
  }
  sample.labels = {record.labels.empty() ? kIgnoreIndex : index_of(record.labels[0], record.choices.size())};
}

}  // namespace berth::data
