// BERT's normalization and pre-tokenization in one pass: cleaning, spaces around ideographs, accents stripped, lower case, and
// then words cut at white space and around each punctuation mark. Equal to the BertNormalizer and BertPreTokenizer of
// `tokenizers`, down to which original bytes each normalized byte came from.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "data/tokenizer/unicode.h"

namespace berth::data {

struct TokenizerOptions {
  bool do_lower_case = true;
  std::optional<bool> strip_accents;  // unset: as do_lower_case
  bool tokenize_chinese_chars = true;
};

// Bytes [begin, end) of the original text.
struct ByteRange {
  uint32_t begin, end;
};

// The normalized words of a text. Reuse the object: it keeps its memory.
struct Words {
  struct Word {
    uint32_t first, size;  // bytes of `text`
    uint32_t begin;        // where the word starts in the original
    bool same_bytes;       // byte k came from the original byte begin + k; if not, from sources[first + k]
  };
  std::vector<Word> words;
  std::vector<char> text;
  std::vector<ByteRange> sources;

  // Original bytes of the normalized bytes [from, to) of `word`, from < to.
  ByteRange source(const Word& word, uint32_t from, uint32_t to) const {
    if (word.same_bytes) return {word.begin + from, word.begin + to};
    return {sources[word.first + from].begin, sources[word.first + to - 1].end};
  }
};

// What becomes of a code point.
enum class CharKind : uint8_t {
  kWord,      // part of a word, as it is
  kSpace,     // ends a word
  kIsolated,  // a word of its own: punctuation, ideographs
  kDrop,      // removed before anything else looks at it
  kSequence,  // other code points (or none), each kWord, kSpace or kIsolated
  kMark,      // a non-starter that is stripped, unless a kReorder follows: then both take part in canonical reordering
  kReorder    // a non-starter that stays, or a code point that decomposes into such
};

// The kind of each code point and what it becomes, in two stages: equal pages of 256 code points are stored once.
class CharTable {
 public:
  struct Entry {
    CharKind kind;
    uint8_t count;   // kSequence: how many outputs
    uint16_t first;  // and where they start
    bool operator==(const Entry&) const = default;
  };
  struct Output {
    char utf8[4];
    uint8_t size;
    CharKind kind;
  };

  explicit CharTable(const TokenizerOptions& options);
  Entry operator[](char32_t c) const { return entries_[size_t{pages_[c >> 8]} << 8 | (c & 0xFF)]; }
  const Output* outputs(Entry entry) const { return outputs_.data() + entry.first; }
  // No text grows by more than this factor.
  size_t max_growth() const { return max_growth_; }

 private:
  Entry make_entry(char32_t c, const TokenizerOptions& options);
  void note_growth(char32_t c, std::u32string_view mapped);
  std::vector<uint16_t> pages_;
  std::vector<Entry> entries_;
  std::vector<Output> outputs_;
  size_t max_growth_ = 1;
};

class BasicTokenizer {
 public:
  explicit BasicTokenizer(const TokenizerOptions& options);
  // Replaces `words` by those of the bytes [begin, end) of `text`, which must be whole code points of valid UTF-8.
  void split(std::string_view text, size_t begin, size_t end, Words& words) const;

 private:
  class Writer;
  size_t split_general(std::string_view text, size_t position, size_t end, Writer& writer) const;
  size_t skip_marks(std::string_view text, size_t position, size_t end, Writer& writer) const;
  size_t reorder(std::string_view text, size_t position, size_t end, Writer& writer) const;

  TokenizerOptions options_;
  CharTable table_;
  std::array<CharKind, 256> ascii_kind_;  // kReorder for the bytes of longer sequences
  std::array<char, 128> ascii_;           // what a kWord byte becomes
};

}  // namespace berth::data
