// One label for a text or a pair of texts: classification, regression, multi-label; or none, for language models.
#pragma once

#include "data/features/features.h"
#include "data/features/labels.h"

namespace berth::data {

class SequenceFeatures final : public Features {
 public:
  SequenceFeatures(TaskKind task, const BertTokenizer& tokenizer, FeatureOptions options);
  void make(const Record& record, std::vector<Sample>& samples) const override;

 private:
  void label(const Record& record, Sample& sample) const;

  const TaskInfo& task_;
  const BertTokenizer& tokenizer_;
  int max_length_;
  bool offsets_;
  LabelSet labels_;
};

}  // namespace berth::data
