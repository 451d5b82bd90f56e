// A tag for each word: token classification (named entities, slots, parts of speech).
//
// The first WordPiece of a word carries its tag; the others carry kIgnoreIndex, or with label_all_tokens the same tag (B-X
// becomes I-X if there is such a tag), as in Hugging Face's run_ner. A word without WordPieces (control characters only) has no
// target, there as here. The words of a record that has only a text are those of BERT's basic tokenizer: split at white space
// and around each punctuation mark.
#pragma once

#include "data/features/features.h"
#include "data/features/labels.h"

namespace berth::data {

class TokenFeatures final : public Features {
 public:
  TokenFeatures(const BertTokenizer& tokenizer, FeatureOptions options);
  void make(const Record& record, std::vector<Sample>& samples) const override;

 private:
  // Tokens [begin, end) of the sentence between [CLS] and [SEP]. `tags`: of each word, or none.
  Sample cut(const std::vector<Token>& tokens, size_t begin, size_t end, const std::vector<int32_t>& tags) const;
  class Places;
  static void add_offsets(const Places& places, const std::vector<Token>& tokens, size_t begin, Sample& sample);

  const BertTokenizer& tokenizer_;
  size_t room_;  // for tokens besides [CLS] and [SEP]
  bool label_all_tokens_, offsets_, windows_;
  LabelSet labels_;
  std::vector<int32_t> inside_;  // for each label, what the word's further WordPieces carry
};

// The words joined by single spaces.
std::string join_words(const std::vector<std::string>& words);

}  // namespace berth::data
