#include "data/features/tokens.h"

#include <algorithm>
#include <array>
#include <optional>
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

// Where the words of a record stand, in code points of the words joined by spaces, or its text.
class TokenFeatures::Places {
 public:
  explicit Places(const Record& record) {
    if (record.words.empty()) texts_.emplace_back(record.text);
    for (const std::string& word : record.words) {
      starts_.push_back(texts_.empty() ? 0 : starts_.back() + texts_.back().size() + 1);
      texts_.emplace_back(word);
    }
  }
  std::array<int32_t, 2> operator()(const Token& token) const {
    if (starts_.empty()) return texts_[0](token);
    const auto word = static_cast<size_t>(token.word);
    const auto [from, to] = texts_[word](token);
    return {starts_[word] + from, starts_[word] + to};
  }

 private:
  std::vector<int32_t> starts_;  // of each word; empty if there is only a text
  std::vector<CodePointOffsets> texts_;
};

void TokenFeatures::make(const Record& record, std::vector<Sample>& samples) const {
  std::vector<Token> tokens;
  if (record.words.empty())
    tokenizer_.tokenize(record.text, tokens);
  else
    tokenizer_.tokenize_words(record.words, tokens);
  std::vector<int32_t> tags;
  for (const std::string& tag : record.tags) tags.push_back(labels_.index(tag));
  const auto places = offsets_ ? std::make_optional<Places>(record) : std::nullopt;
  for (size_t begin = 0;; begin += room_ - room_ / 2) {
    const size_t end = std::min(tokens.size(), begin + room_);
    Sample& sample = samples.emplace_back(cut(tokens, begin, end, tags));
    sample.row = record.row;
    if (!windows_) sample.cut = static_cast<int32_t>(tokens.size() - end);
    if (places) add_offsets(*places, tokens, begin, sample);
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

void TokenFeatures::add_offsets(const Places& places, const std::vector<Token>& tokens, size_t begin, Sample& sample) {
  sample.offsets = {{0, 0}};
  sample.words = {-1};
  for (size_t i = begin; i < begin + sample.input_ids.size() - 2; ++i) {
    sample.offsets.push_back(places(tokens[i]));
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
