// A question about a context: windows of the context that overlap by doc_stride tokens, each behind the question, as in Hugging
// Face's run_qa.
//
// Labels are the first and last token of the first answer, found as run_qa's prepare_train_features finds them: answer_start and
// the length of the answer's text are trusted even where the context reads otherwise (Sample::misaligned says so). A window that
// does not hold all of the answer, and a question without answers, is labelled 0, 0 (the [CLS] token). One oddity is the
// reference's: an answer that begins in the window's very last token of the context gets the [SEP] behind it as its first token.
// Here, an answer whose text is empty counts as none. A record that does not say which answers there are (Record::has_answers) is
// labelled kIgnoreIndex. Whitespace before the question makes no tokens, so it need not be stripped.
#pragma once

#include "data/features/features.h"

namespace berth::data {

class QuestionFeatures final : public Features {
 public:
  QuestionFeatures(const BertTokenizer& tokenizer, const FeatureOptions& options);
  void make(const Record& record, std::vector<Sample>& samples) const override;

 private:
  const BertTokenizer& tokenizer_;
  int max_length_, doc_stride_;
};

}  // namespace berth::data
