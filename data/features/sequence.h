// One label for a text or a pair of texts: classification, regression, multi-label, next-sentence prediction; or none, for language models.
//
// Longer texts are cut to max_length, as Hugging Face's truncation=True does. With a doc_stride they become windows instead, overlapping by so
// many tokens, as with return_overflowing_tokens and stride there: all of a text's windows are one sample. Of a pair the second text is
// cut into windows, each behind the whole first one (only_second).
#pragma once

#include "data/features/features.h"
#include "data/features/labels.h"

namespace berth::data {

class SequenceFeatures final : public Features {
 public:
  SequenceFeatures(TaskKind task, const BertTokenizer& tokenizer, FeatureOptions options);
  void make(const Record& record, std::vector<Sample>& samples) const override;

 private:
  std::vector<Encoding> encode(const Record& record) const;
  void label(const Record& record, Sample& sample) const;

  const TaskInfo& task_;
  const BertTokenizer& tokenizer_;
  int max_length_;
  std::optional<int> doc_stride_;
  bool offsets_;
  LabelSet labels_;
};

}  // namespace berth::data
