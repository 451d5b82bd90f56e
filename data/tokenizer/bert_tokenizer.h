// BERT's tokenizer: text to WordPiece ids equal, to the id, to Hugging Face's BertTokenizer(Fast), with offsets into the original text.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer/vocab.h"

namespace berth::data {

struct TokenizerOptions {
  bool do_lower_case = true;
  std::optional<bool> strip_accents;  // unset: as do_lower_case
  bool tokenize_chinese_chars = true;
};

// One WordPiece. Offsets are bytes [begin, end) of the UTF-8 text it came from; special tokens have begin == end == 0.
struct Token {
  int32_t id = 0;
  uint32_t begin = 0, end = 0;
  int32_t word = -1;  // index of the pre-tokenized word, -1 for special tokens
};

// [CLS] a [SEP] or [CLS] a [SEP] b [SEP].
struct Encoding {
  std::vector<Token> tokens;
  int32_t segment_b = 0;  // index of segment B's first token; tokens.size() if there is one segment
  bool truncated = false;
};

enum class Truncation { kLongestFirst, kOnlyFirst, kOnlySecond };

// Immutable and safe to share between threads.
class BertTokenizer {
 public:
  BertTokenizer(Vocab vocab, TokenizerOptions options);
  // `path`: a vocab.txt, or a model folder with vocab.txt (or tokenizer.json alone) and optionally tokenizer_config.json, whose do_lower_case, strip_accents
  // and tokenize_chinese_chars are obeyed. Throws Error(kBadInput).
  static BertTokenizer load(const std::filesystem::path& path);

  // Appends the WordPieces of `text` (valid UTF-8), without [CLS] and [SEP]. Special tokens written in the text ("[MASK]") become their ids, as in Hugging Face.
  void tokenize(std::string_view text, std::vector<Token>& out) const;
  // The same for text already split into words (is_split_into_words): Token::word is the index in `words`, offsets are into that word.
  void tokenize_words(const std::vector<std::string>& words, std::vector<Token>& out) const;

  Encoding encode(std::string_view text, int max_length) const;
  Encoding encode_pair(std::string_view a, std::string_view b, int max_length, Truncation truncation = Truncation::kLongestFirst) const;

  const Vocab& vocab() const { return vocab_; }
  const TokenizerOptions& options() const { return options_; }

 private:
  Vocab vocab_;
  TokenizerOptions options_;
};

}  // namespace berth::data
