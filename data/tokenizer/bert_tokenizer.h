// BERT's tokenizer: text to WordPiece ids equal, to the id and the offset, to Hugging Face's BertTokenizerFast.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/files/files.h"
#include "data/tokenizer/basic_tokenizer.h"
#include "data/tokenizer/vocab.h"
#include "data/tokenizer/wordpiece.h"

namespace berth::data {

// One WordPiece. Offsets are bytes [begin, end) of the UTF-8 text it came from; [CLS] and [SEP] put around it have begin == end
// == 0.
struct Token {
  int32_t id = 0;
  uint32_t begin = 0, end = 0;
  int32_t word =
      -1;  // index of the pre-tokenized word (a special token written in the text is one), -1 for added [CLS] and [SEP]
};

// [CLS] a [SEP] or [CLS] a [SEP] b [SEP].
struct Encoding {
  std::vector<Token> tokens;
  int32_t segment_b = 0;  // index of segment B's first token; tokens.size() if there is one segment
  int32_t cut = 0;        // tokens that are left out
};

enum class Truncation { kLongestFirst, kOnlyFirst, kOnlySecond };

// Immutable and safe to share between threads.
class BertTokenizer {
 public:
  // `added_tokens` are recognised in the raw text besides [PAD] [UNK] [CLS] [SEP] [MASK]; they are the vocabulary's last ones.
  BertTokenizer(Vocab vocab, TokenizerOptions options, std::vector<std::string> added_tokens = {});
  // `path`: a vocab.txt, or a model folder with vocab.txt or tokenizer.json. The tokenizer_config.json beside it is obeyed
  // (do_lower_case, strip_accents, tokenize_chinese_chars, added special tokens), then tokenizer.json; without either the text is
  // lower-cased. Throws Error(kBadInput), also for settings that are not BERT's.
  static BertTokenizer load(const std::filesystem::path& path);
  // The same but for do_lower_case (and strip_accents, where it follows that).
  BertTokenizer with_lower_case(bool do_lower_case) const;
  // Writes vocab.txt, tokenizer_config.json and special_tokens_map.json into an existing folder, for transformers and for load();
  // each is there whole, on disk, or not at all. `tokenizer_class`: transformers' name of it, of a relative of BERT its own. Throws
  // Error(kInternal).
  std::vector<FileDigest> save(const std::filesystem::path& folder, int model_max_length,
                               const std::string& tokenizer_class = "BertTokenizer") const;

  // Appends the WordPieces of `text` (valid UTF-8, below 1 GiB), without [CLS] and [SEP]. Special tokens written in the text
  // ("[MASK]") become their ids, as in Hugging Face.
  void tokenize(std::string_view text, std::vector<Token>& out) const;
  // The same for text already split into words (is_split_into_words): Token::word is the index in `words`, offsets are into that
  // word.
  void tokenize_words(const std::vector<std::string>& words, std::vector<Token>& out) const;

  // At most max_length tokens, [CLS] and [SEP] included; max_length must leave room for these. Truncation is Hugging Face's;
  // where kOnlyFirst or kOnlySecond would have to remove all of that segment, Error(kBadInput).
  Encoding encode(std::string_view text, int max_length) const;
  Encoding encode_pair(std::string_view a, std::string_view b, int max_length,
                       Truncation truncation = Truncation::kLongestFirst) const;

  // [CLS] a [SEP] part of b [SEP] for as many overlapping parts as b needs, each of at most max_length tokens: neighbours share
  // `stride` tokens of b. As Hugging Face's truncation="only_second" with return_overflowing_tokens. Error(kBadInput) if b does
  // not fit and a leaves room for no more than `stride` of its tokens.
  std::vector<Encoding> encode_windows(std::string_view a, std::string_view b, int max_length, int stride) const;
  // The same of one text: [CLS] part [SEP], of two texts without the first. As truncation=True there.
  std::vector<Encoding> encode_windows(std::string_view text, int max_length, int stride) const;
  // Text of `ids`, as Hugging Face's decode: WordPieces joined, no space before . , ? and !; `skip_special`: without [CLS] and
  // its like.
  std::string decode(std::span<const int32_t> ids, bool skip_special) const;

  const Vocab& vocab() const { return vocab_; }
  const TokenizerOptions& options() const { return options_; }
  const std::vector<std::string>& added_tokens() const { return added_tokens_; }

 private:
  struct Special {
    std::string text;
    int32_t id;
  };
  // First special token at or after `from`, the longest if several start there, and its position; nullptr if there is none.
  std::pair<const Special*, size_t> find_special(std::string_view text, size_t from) const;
  std::vector<Encoding> cut(const std::vector<Token>& head, const std::vector<Token>& tokens, std::ptrdiff_t room,
                            int stride) const;
  // Appends `text` with word numbers from `word` on, or all equal to `word`. Returns the number after the last.
  int32_t append(std::string_view text, int32_t word, bool count_words, std::vector<Token>& out) const;
  void append_words(std::string_view text, size_t begin, size_t end, int32_t& word, bool count_words,
                    std::vector<Token>& out) const;

  Vocab vocab_;
  TokenizerOptions options_;
  std::vector<std::string> added_tokens_;
  std::vector<Special> specials_;  // longest first
  std::string special_starts_;     // their distinct first bytes
  BasicTokenizer basic_;
  WordPiece wordpiece_;
};

}  // namespace berth::data
