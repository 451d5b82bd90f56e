#include "data/features/tokens.h"

#include <algorithm>
#include <utility>

namespace berth::data {

TokenFeatures::TokenFeatures(const BertTokenizer& tokenizer, FeatureOptions options)
    : tokenizer_(tokenizer),
      max_length_(static_cast<size_t>(options.max_length)),
      label_all_tokens_(options.label_all_tokens),
      offsets_(options.offsets),
      labels_(std::move(options.label_names)) {
  for (const std::string& name : labels_.names()) {
    const std::string inside = name.starts_with("B-") ? "I-" + name.substr(2) : name;
    inside_.push_back(labels_.index(labels_.contains(inside) ? inside : name));
  }
}

void TokenFeatures::make(const Record& record, std::vector<Sample>& samples) const {
  std::vector<Token> tokens;
  tokenizer_.tokenize_words(record.words, tokens);
  std::vector<int32_t> tags;
  for (const std::string& tag : record.tags) tags.push_back(labels_.index(tag));
  Sample& sample = samples.emplace_back();
  sample.row = record.row;
  sample.truncated = tokens.size() > max_length_ - 2;
  tokens.resize(std::min(tokens.size(), max_length_ - 2));
  sample.segment_b = static_cast<int32_t>(tokens.size() + 2);
  sample.input_ids = {tokenizer_.vocab().cls()};
  sample.labels = {kIgnoreIndex};
  for (size_t i = 0; i < tokens.size(); ++i) {
    const bool first = i == 0 || tokens[i].word != tokens[i - 1].word;
    const int32_t tag = tags.empty() ? kIgnoreIndex : tags[static_cast<size_t>(tokens[i].word)];
    sample.input_ids.push_back(tokens[i].id);
    sample.labels.push_back(first || tag == kIgnoreIndex ? tag
                            : label_all_tokens_          ? inside_[static_cast<size_t>(tag)]
                                                         : kIgnoreIndex);
  }
  sample.input_ids.push_back(tokenizer_.vocab().sep());
  sample.labels.push_back(kIgnoreIndex);
}

}  // namespace berth::data
