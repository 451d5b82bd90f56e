// Pairs for next-sentence prediction, out of documents: a sentence a line, documents separated by blank lines.
//
// The algorithm is that of BERT's create_pretraining_data and transformers' TextDatasetForNextSentencePrediction: sentences of a
// document are gathered until they fill a sample (one in ten times, a shorter one of random length); a random number of them is
// the first segment; the second is, half of the time and whenever there is nothing else, the same length of another document from
// a random sentence on (label 1, and the sentences that were not used come again), else the sentences that follow (label 0). What
// is too long loses tokens at either end of its longer segment. All numbers are drawn from (seed, split, document).
#pragma once

#include <cstdint>
#include <vector>

#include "data/features/assembler.h"

namespace berth::data {

// Keeps the split's token ids in memory, 4 bytes each: a pair may need any two documents.
class SentencePairs final : public Assembler {
 public:
  SentencePairs(const AssemblerOptions& options, const Vocab& vocab);
  void add(const Record& record, const Sample& text, const Emit& emit) override;
  void finish(const Emit& emit) override;
  std::string summary() const override;

 private:
  class Draws;
  struct Sentence {
    size_t begin = 0, end = 0;  // in ids_
    int64_t row = 0;
    int64_t size() const { return static_cast<int64_t>(end - begin); }
  };
  struct Document {
    size_t begin = 0, end = 0;  // in sentences_
    size_t size() const { return end - begin; }
  };

  void close_document();
  void pair_up(size_t document, const Emit& emit);
  void append(const Sentence& sentence, std::vector<int32_t>& ids) const;
  void append_other(size_t document, int64_t length, Draws& draws, std::vector<int32_t>& ids) const;
  void emit_pair(std::vector<int32_t>& a, std::vector<int32_t>& b, bool random, int64_t row, Draws& draws, const Emit& emit);

  AssemblerOptions options_;
  int32_t cls_, sep_;
  int64_t room_;  // tokens of a sample without [CLS] and [SEP]s
  std::vector<int32_t> ids_;
  std::vector<Sentence> sentences_;
  std::vector<Document> documents_;
  size_t open_ = 0;           // first sentence of the document being read
  bool in_document_ = false;  // a line that is not blank was read since the last blank one
  int64_t without_tokens_ = 0, empty_documents_ = 0, pairs_ = 0, random_ = 0;
};

}  // namespace berth::data
