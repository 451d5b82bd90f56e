#include "data/features/sequence.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <span>
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

// As transformers counts them.
int32_t next_sentence(const std::string& label) {
  if (label == "0" || label == "IsNext") return 0;
  check(label == "1" || label == "NotNext", "the label '", label,
        "' is neither 0 (IsNext: the second text follows the first) nor 1 (NotNext)");
  return 1;
}

}  // namespace

SequenceFeatures::SequenceFeatures(TaskKind task, const BertTokenizer& tokenizer, FeatureOptions options)
    : task_(task_info(task)),
      tokenizer_(tokenizer),
      max_length_(options.max_length),
      doc_stride_(task_.pools_windows ? options.doc_stride : std::nullopt),
      offsets_(options.offsets),
      labels_(std::move(options.label_names)) {
  check_usage(!doc_stride_ || (*doc_stride_ >= 0 && *doc_stride_ < max_length_ - 2),
              "the windows of a text must share at least 0 and less than the ", max_length_ - 2,
              " tokens that one of them has room for, got ", doc_stride_.value_or(0));
}

std::vector<Encoding> SequenceFeatures::encode(const Record& record) const {
  if (!doc_stride_)
    return {record.has_pair ? tokenizer_.encode_pair(record.text, record.text_pair, max_length_)
                            : tokenizer_.encode(record.text, max_length_)};
  std::vector<Encoding> windows = record.has_pair
                                      ? tokenizer_.encode_windows(record.text, record.text_pair, max_length_, *doc_stride_)
                                      : tokenizer_.encode_windows(record.text, max_length_, *doc_stride_);
  check(windows.size() <= kMostSequences, "the text makes ", windows.size(), " windows of ", max_length_, " tokens, at most ",
        kMostSequences, " can be computed together: split it into several rows");
  return windows;
}

void SequenceFeatures::make(const Record& record, std::vector<Sample>& samples) const {
  const std::vector<Encoding> encodings = encode(record);
  const Encoding& encoding = encodings.front();
  Sample& sample = samples.emplace_back();
  sample.row = record.row;
  sample.segment_b = encoding.segment_b;
  if (!doc_stride_) sample.cut = encoding.cut;
  sample.input_ids = ids_of(encoding);
  for (const Encoding& window : std::span(encodings).subspan(1)) sample.further.push_back({ids_of(window), window.segment_b});
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
  if (task_.labels == LabelShape::kNextSentence) {
    check(record.has_pair, "next-sentence prediction is about two texts: name the second one's column (--text-pair-column)");
    sample.labels = {labelled ? next_sentence(record.labels[0]) : kIgnoreIndex};
    return;
  }
  if (task_.labels == LabelShape::kFloat)
    sample.float_labels = {labelled ? as_float(record.labels[0]) : std::numeric_limits<float>::quiet_NaN()};
  else
    sample.labels = {labelled ? labels_.index(record.labels[0]) : kIgnoreIndex};
}

}  // namespace berth::data
