// A tag for each word: token classification (named entities, slots, parts of speech).
//
// The first WordPiece of a word carries its tag; the others carry kIgnoreIndex, or with label_all_tokens the same tag (B-X
// becomes I-X if there is such a tag), as in Hugging Face's run_ner. A word without WordPieces (control characters only) has no
// target, there as here.
#pragma once

#include "data/features/features.h"
#include "data/features/labels.h"

namespace berth::data {

class TokenFeatures final : public Features {
 public:
  TokenFeatures(const BertTokenizer& tokenizer, FeatureOptions options);
  void make(const Record& record, std::vector<Sample>& samples) const override;

 private:
  const BertTokenizer& tokenizer_;
  size_t max_length_;
  bool label_all_tokens_, offsets_;
  LabelSet labels_;
  std::vector<int32_t> inside_;  // for each label, what the word's further WordPieces carry
};

}  // namespace berth::data
