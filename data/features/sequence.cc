#include "data/features/sequence.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include "data/check.h"
#include "data/features/offsets.h"

namespace berth::data {
namespace {

float as_float(const std::string& text) {
  float value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  check(error == std::errc() && end == text.data() + text.size() && std::isfinite(value), "the label '", text,
        "' is not a number");
  return value;
}

}  // namespace

SequenceFeatures::SequenceFeatures(TaskKind task, const BertTokenizer& tokenizer, FeatureOptions options)
    : task_(task_info(task)),
      tokenizer_(tokenizer),
      max_length_(options.max_length),
      offsets_(options.offsets),
      labels_(std::move(options.label_names)) {}

void SequenceFeatures::make(const Record& record, std::vector<Sample>& samples) const {
  const Encoding encoding = record.has_pair ? tokenizer_.encode_pair(record.text, record.text_pair, max_length_)
                                            : tokenizer_.encode(record.text, max_length_);
  Sample& sample = samples.emplace_back();
  sample.row = record.row;
  sample.segment_b = encoding.segment_b;
  sample.truncated = encoding.truncated;
  sample.input_ids.reserve(encoding.tokens.size());
  for (const Token& token : encoding.tokens) sample.input_ids.push_back(token.id);
  if (offsets_) {
    const CodePointOffsets first(record.text), second(record.text_pair);
    for (size_t i = 0; i < encoding.tokens.size(); ++i)
      sample.offsets.push_back((static_cast<int32_t>(i) < encoding.segment_b ? first : second)(encoding.tokens[i]));
  }
  label(record, sample);
}

void SequenceFeatures::label(const Record& record, Sample& sample) const {
  if (task_.is_language_model) return;
  const bool labelled = !record.labels.empty() || record.labelled_none;
  if (task_.labels == LabelShape::kMultiHot) {
    sample.float_labels.assign(static_cast<size_t>(labels_.size()), labelled ? 0.f : kNoMultiHot);
    for (const std::string& name : record.labels) sample.float_labels[static_cast<size_t>(labels_.index(name))] = 1.f;
    return;
  }
  check(!record.labelled_none, "the row has an empty list of labels; that is for --task multi-label");
  check(record.labels.size() <= 1, "the row has ", record.labels.size(),
        " labels, expected one; several are for --task multi-label");
  if (task_.labels == LabelShape::kFloat)
    sample.float_labels = {labelled ? as_float(record.labels[0]) : std::numeric_limits<float>::quiet_NaN()};
  else
    sample.labels = {labelled ? labels_.index(record.labels[0]) : kIgnoreIndex};
}

}  // namespace berth::data
