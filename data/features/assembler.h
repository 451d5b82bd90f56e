// What stands between the texts of a file and the samples of a language model: blocks cut out of the texts laid end to end, or
// pairs of neighbouring sentences.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "data/features/features.h"

namespace berth::data {

// One split's. It is handed the split's texts in the order of the file, one at a time; for one thread.
class Assembler {
 public:
  using Emit = std::function<void(const Sample& sample)>;
  virtual ~Assembler() = default;
  virtual void add(const Record& record, const Sample& text, const Emit& emit) = 0;
  // After the last text. Throws Error(kBadInput) if the texts together do not make one sample.
  virtual void finish(const Emit& emit) = 0;
  // What became of the texts, and what was left out, for the report.
  virtual std::string summary() const = 0;
};

struct AssemblerOptions {
  int max_length = 128;
  bool line_by_line = false;  // masked-lm: a sample per text instead of blocks
  uint64_t seed = 42;         // of sentence pairs
  uint32_t split = 0;         // its number, and a fold's in the bits above 8; another one draws other numbers
};

// Null for tasks whose texts are samples already. The features are to be made with FeatureOptions::uncut, unless line by line.
std::unique_ptr<Assembler> make_assembler(TaskKind task, const AssemblerOptions& options, const Vocab& vocab);

// A text as the assemblers want it: all of its tokens.
class UncutFeatures final : public Features {
 public:
  UncutFeatures(const BertTokenizer& tokenizer, bool with_specials) : tokenizer_(tokenizer), with_specials_(with_specials) {}
  void make(const Record& record, std::vector<Sample>& samples) const override;

 private:
  const BertTokenizer& tokenizer_;
  bool with_specials_;  // [CLS] and [SEP] around it
};

}  // namespace berth::data
