#include "data/features/question.h"

#include "data/check.h"
#include "data/features/offsets.h"
#include "data/utf8.h"

namespace berth::data {
namespace {

constexpr int kDocStride = 128;  // run_qa's

struct Range {
  int64_t begin, end;
};

// Code points of the context that the first answer claims; nothing if it says nothing.
Range claimed(const Record& record) {
  if (record.answers.empty()) return {0, 0};
  const Answer& answer = record.answers.front();
  return {answer.start, answer.start + count_code_points(answer.text)};
}

// Whether the context has the first answer where it claims to stand.
bool reads_as_claimed(const Record& record, Range range) {
  return range.begin >= 0 && slice_code_points(record.text_pair, range.begin, range.end) == record.answers.front().text;
}

// Of a window's tokens; its context is [segment_b, T - 1).
std::vector<int32_t> label(const Sample& window, Range answer) {
  const auto first = static_cast<size_t>(window.segment_b), end = window.offsets.size() - 1;
  const bool inside = answer.begin < answer.end && first < end && window.offsets[first][0] <= answer.begin &&
                      window.offsets[end - 1][1] >= answer.end;
  if (!inside) return {0, 0};
  size_t begins = first, ends = end - 1;
  while (begins < end && window.offsets[begins][0] <= answer.begin) ++begins;
  while (window.offsets[ends][1] >= answer.end) --ends;
  return {static_cast<int32_t>(begins == end ? end : begins - 1), static_cast<int32_t>(ends + 1)};
}

}  // namespace

QuestionFeatures::QuestionFeatures(const BertTokenizer& tokenizer, const FeatureOptions& options)
    : tokenizer_(tokenizer), max_length_(options.max_length), doc_stride_(options.doc_stride.value_or(kDocStride)) {
  check_usage(doc_stride_ >= 0, "the stride of the windows must not be negative, got ", doc_stride_);
}

void QuestionFeatures::make(const Record& record, std::vector<Sample>& samples) const {
  in_context([&] { return concat("question ", record.id.empty() ? record.text : record.id); },
             [&] {
               check(record.has_pair, "a question needs the context that holds its answer as the second text (--text-pair)");
               const CodePointOffsets question(record.text), context(record.text_pair);
               const Range answer = claimed(record);
               const bool misaligned = !record.answers.empty() && !reads_as_claimed(record, answer);
               for (const Encoding& window : tokenizer_.encode_windows(record.text, record.text_pair, max_length_, doc_stride_)) {
                 Sample& sample = samples.emplace_back();
                 sample.row = record.row;
                 sample.segment_b = window.segment_b;
                 sample.misaligned = misaligned;
                 for (size_t t = 0; t < window.tokens.size(); ++t) {
                   const Token& token = window.tokens[t];
                   sample.input_ids.push_back(token.id);
                   sample.offsets.push_back((t < static_cast<size_t>(window.segment_b) ? question : context)(token));
                 }
                 sample.labels = record.has_answers ? label(sample, answer) : std::vector<int32_t>{kIgnoreIndex, kIgnoreIndex};
               }
             });
}

}  // namespace berth::data
