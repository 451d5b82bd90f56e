// A text and what may follow it: one sequence for each choice, the text and, as its second one, the choice behind what all choices begin
// with ("sent2" + " " + "ending0"), cut as a pair is: as Hugging Face's run_swag.
#pragma once

#include "data/features/features.h"

namespace berth::data {

class ChoiceFeatures final : public Features {
 public:
  ChoiceFeatures(const BertTokenizer& tokenizer, const FeatureOptions& options)
      : tokenizer_(tokenizer), max_length_(options.max_length) {}
  // The label is the right choice's number, from 0, or letter, from A.
  void make(const Record& record, std::vector<Sample>& samples) const override;

 private:
  const BertTokenizer& tokenizer_;
  int max_length_;
};

}  // namespace berth::data
