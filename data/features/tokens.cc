#include "data/features/tokens.h"

#include <algorithm>
#include <utility>

#include "data/features/offsets.h"

namespace berth::data {

TokenFeatures::TokenFeatures(const BertTokenizer& tokenizer, FeatureOptions options)
    : tokenizer_(tokenizer),
      room_(static_cast<size_t>(options.max_length) - 2),
      label_all_tokens_(options.label_all_tokens),
      offsets_(options.offsets),
      windows_(options.windows),
      labels_(std::move(options.label_names)) {
  for (const std::string& name : labels_.names()) {
    const std::string inside = name.starts_with("B-") ? "I-" + name.substr(2) : name;
    inside_.push_back(labels_.index(labels_.contains(inside) ? inside : name));
  }
}

void TokenFeatures::make(const Record& record, std::vector<Sample>& samples) const {
  std::vector<Token> tokens;
  if (record.words.empty())
    tokenizer_.tokenize(record.text, tokens);
  else
    tokenizer_.tokenize_words(record.words, tokens);
  std::vector<int32_t> tags;
  for (const std::string& tag : record.tags) tags.push_back(labels_.index(tag));
  for (size_t begin = 0;; begin += room_ - room_ / 2) {
    const size_t end = std::min(tokens.size(), begin + room_);
    Sample& sample = samples.emplace_back(cut(tokens, begin, end, tags));
    sample.row = record.row;
    sample.truncated = !windows_ && end < tokens.size();
    if (offsets_) add_offsets(record, tokens, begin, sample);
    if (!windows_ || end == tokens.size()) return;
  }
}

Sample TokenFeatures::cut(const std::vector<Token>& tokens, size_t begin, size_t end, const std::vector<int32_t>& tags) const {
  Sample sample;
  sample.segment_b = static_cast<int32_t>(end - begin + 2);
  sample.input_ids = {tokenizer_.vocab().cls()};
  sample.labels = {kIgnoreIndex};
  for (size_t i = begin; i < end; ++i) {
    const bool first = i == 0 || tokens[i].word != tokens[i - 1].word;
    const int32_t tag = tags.empty() ? kIgnoreIndex : tags[static_cast<size_t>(tokens[i].word)];
    sample.input_ids.push_back(tokens[i].id);
    sample.labels.push_back(first || tag == kIgnoreIndex ? tag
                            : label_all_tokens_          ? inside_[static_cast<size_t>(tag)]
                                                         : kIgnoreIndex);
  }
  sample.input_ids.push_back(tokenizer_.vocab().sep());
  sample.labels.push_back(kIgnoreIndex);
  return sample;
}

void TokenFeatures::add_offsets(const Record& record, const std::vector<Token>& tokens, size_t begin, Sample& sample) const {
  std::vector<int32_t> starts;  // of each word in the joined text
  std::vector<CodePointOffsets> texts;
  for (const std::string& word : record.words) {
    starts.push_back(texts.empty() ? 0 : starts.back() + texts.back().size() + 1);
    texts.emplace_back(word);
  }
  if (record.words.empty()) texts.emplace_back(record.text);
  sample.offsets = {{0, 0}};
  sample.words = {-1};
  for (size_t i = begin; i < begin + sample.input_ids.size() - 2; ++i) {
    const auto word = static_cast<size_t>(tokens[i].word);
    const auto [from, to] = texts[starts.empty() ? 0 : word](tokens[i]);
    const int32_t start = starts.empty() ? 0 : starts[word];
    sample.offsets.push_back({start + from, start + to});
    sample.words.push_back(tokens[i].word);
  }
  sample.offsets.push_back({0, 0});
  sample.words.push_back(-1);
}

std::string join_words(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (&word == words.data() ? "" : " ") + word;
  return text;
}

}  // namespace berth::data
