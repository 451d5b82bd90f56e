// The tokenizer against goldens that Hugging Face's tokenizers wrote (tests/golden/tokenizer_golden.py), without data sets.
#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "data/check.h"
#include "data/files/sha256.h"
#include "data/tokenizer/bert_tokenizer.h"
#include "data/utf8.h"

namespace berth::data {
namespace {

const std::string kGolden = std::string(BERTH_SOURCE_DIR) + "/tests/golden/";

// MODES of tests/golden/tokenizer_reference.py.
const std::vector<TokenizerOptions> kModes = {{true, std::nullopt, true},
                                              {false, std::nullopt, true},
                                              {true, false, true},
                                              {false, true, true},
                                              {true, std::nullopt, false}};

const BertTokenizer& small_tokenizer(size_t mode) {
  static std::vector<BertTokenizer> tokenizers = [] {
    std::vector<BertTokenizer> made;
    for (const TokenizerOptions& options : kModes) made.emplace_back(Vocab::load(kGolden + "tokenizer_vocab.txt"), options);
    return made;
  }();
  return tokenizers[mode];
}

std::vector<Token> tokenize(const BertTokenizer& tokenizer, std::string_view text) {
  std::vector<Token> tokens;
  tokenizer.tokenize(text, tokens);
  return tokens;
}

TEST(Tokenizer, EveryGoldenTextGivesTheSameTokensOffsetsAndWords) {
  std::ifstream in(kGolden + "tokenizer_cases.json");
  const auto cases = nlohmann::json::parse(in);
  ASSERT_GT(cases.size(), 300u);
  for (const auto& c : cases) {
    const BertTokenizer& tokenizer = small_tokenizer(c["mode"]);
    const auto text = c["text"].get<std::string>();
    std::string pieces;
    std::vector<std::array<uint32_t, 2>> spans;
    std::vector<int32_t> words;
    for (const Token& token : tokenize(tokenizer, text)) {
      pieces += (pieces.empty() ? "" : " ") + tokenizer.vocab().token(token.id);
      spans.push_back({token.begin, token.end});
      words.push_back(token.word);
    }
    EXPECT_EQ(pieces, c["tokens"].get<std::string>()) << "mode " << c["mode"] << ": " << c["text"];
    EXPECT_EQ(nlohmann::json(spans), c["spans"]) << "mode " << c["mode"] << ": " << c["text"];
    EXPECT_EQ(nlohmann::json(words), c["words"]) << "mode " << c["mode"] << ": " << c["text"];
  }
}

TEST(Tokenizer, EveryCodePointIsNormalizedAndCutAsInTheReference) {
  std::ifstream in(kGolden + "tokenizer_codepoints.tsv");
  std::string line;
  std::getline(in, line);
  for (size_t mode = 0; mode < kModes.size(); ++mode) {
    ASSERT_TRUE(std::getline(in, line));
    const BasicTokenizer tokenizer(kModes[mode]);
    Sha256 digest;
    Words words;
    for (char32_t c = 0; c < unicode::kCodePoints; ++c) {
      if (c >= 0xD800 && c <= 0xDFFF) continue;
      char text[6] = {'a'};
      const uint32_t size = unicode::encode(c, text + 1);
      text[1 + size] = 'b';
      tokenizer.split({text, size + 2}, 0, size + 2, words);
      std::string out;
      for (const Words::Word& word : words.words) {
        const ByteRange source = words.source(word, 0, word.size);
        out.append(words.text.data() + word.first, word.size);
        out += concat("\t", source.begin, "\t", source.end, "\t");
      }
      digest.update(out + "\n");
    }
    EXPECT_EQ(concat(mode, "\t", digest.hex()), line)
        << "some code point differs in mode " << mode << "; tests/golden/compare_tokenizer.py --only codepoints names it";
  }
}

// Random code points of all planes, with what the normalizer treats specially over-represented.
std::string random_text(std::mt19937& random) {
  static const std::vector<char32_t> special = {
      0,      ' ',    '\n',   '[',    0xAD,   0x300,  0x301,  0x323,  0x334,  0x344,   0x130,   0x1E9E,  0xAC01,  0x200D, 0x302E,
      0x3099, 0x4E2D, 0xF900, 0xFB01, 0xFE0F, 0xFFFD, 0x1B44, 0xE000, 0x2028, 0x1D15E, 0x1D165, 0x1F600, 0x2F800, 0x10D50};
  std::string text;
  const auto length = random() % 40;
  for (unsigned i = 0; i < length; ++i) {
    if (random() % 16 == 0) text += "[MASK]";
    char32_t c = 0;
    switch (random() % 4) {
      case 0:
        c = special[random() % special.size()];
        break;
      case 1:
        c = 'A' + random() % 58;
        break;
      case 2:
        c = random() % 0x3100;
        break;
      default:
        c = random() % unicode::kCodePoints;
    }
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    char utf8[4];
    const uint32_t size = unicode::encode(c, utf8);
    text.append(utf8, size);
  }
  return text;
}

TEST(Tokenizer, OffsetsAreInBoundsOrderedAndAtCodePoints) {
  std::mt19937 random(7);
  const auto at_boundary = [](const std::string& text, uint32_t i) { return i == text.size() || (text[i] & 0xC0) != 0x80; };
  size_t count = 0;
  for (int round = 0; round < 40000; ++round) {
    const BertTokenizer& tokenizer = small_tokenizer(round % kModes.size());
    const std::string text = random_text(random);
    ASSERT_EQ(find_invalid_utf8(text), std::nullopt);
    Token last;
    for (const Token& token : tokenize(tokenizer, text)) {
      ASSERT_GE(token.id, 0);
      ASSERT_LT(token.id, tokenizer.vocab().size());
      ASSERT_LE(last.begin, token.begin) << testing::PrintToString(text);
      ASSERT_LE(last.end, token.end) << testing::PrintToString(text);
      ASSERT_LT(token.begin, token.end) << testing::PrintToString(text);
      ASSERT_LE(token.end, text.size()) << testing::PrintToString(text);
      ASSERT_TRUE(at_boundary(text, token.begin) && at_boundary(text, token.end)) << testing::PrintToString(text);
      ASSERT_TRUE(token.word == last.word || token.word == last.word + 1) << testing::PrintToString(text);
      last = token;
      ++count;
    }
  }
  EXPECT_GT(count, 100000u);
}

TEST(Tokenizer, AppendsToWhatIsThere) {
  std::vector<Token> tokens = tokenize(small_tokenizer(0), "hello");
  small_tokenizer(0).tokenize("the world", tokens);
  ASSERT_EQ(tokens.size(), 3u);
  EXPECT_EQ(tokens[1].begin, 0u);
  EXPECT_EQ(tokens[1].word, 0);
  EXPECT_EQ(tokens[2].word, 1);
}

// As tokenizers' encode(is_pretokenized=True): offsets into each word, special tokens inside words, words that vanish.
TEST(Tokenizer, WordsKeepTheirNumbers) {
  const BertTokenizer& tokenizer = small_tokenizer(0);
  std::vector<Token> tokens;
  tokenizer.tokenize_words({"Hello", "the[MASK]unaffable,", " ", "", "\xC3\x89"}, tokens);
  std::string out;
  for (const Token& t : tokens) out += concat(tokenizer.vocab().token(t.id), " ", t.begin, "-", t.end, " ", t.word, "\n");
  EXPECT_EQ(out, "hello 0-5 0\nthe 0-3 1\n[MASK] 3-9 1\nun 9-11 1\n##aff 11-14 1\n##able 14-18 1\n, 18-19 1\ne 0-2 4\n");
}

std::string layout(const Encoding& encoding) {
  std::string out;
  for (size_t i = 0; i < encoding.tokens.size(); ++i) {
    if (static_cast<int32_t>(i) == encoding.segment_b) out += "| ";
    out += small_tokenizer(0).vocab().token(encoding.tokens[i].id) + " ";
  }
  return out + (encoding.cut > 0 ? "cut" : "whole");
}

TEST(Tokenizer, EncodesSingleTexts) {
  const BertTokenizer& tokenizer = small_tokenizer(0);
  EXPECT_EQ(layout(tokenizer.encode("a b c d", 6)), "[CLS] a b c d [SEP] whole");
  EXPECT_EQ(layout(tokenizer.encode("a b c d", 5)), "[CLS] a b c [SEP] cut");
  EXPECT_EQ(layout(tokenizer.encode("a b c d", 2)), "[CLS] [SEP] cut");
  EXPECT_EQ(layout(tokenizer.encode("", 2)), "[CLS] [SEP] whole");
  EXPECT_THROW(tokenizer.encode("a", 1), Error);
}

// Expected layouts are those of tokenizers' truncation; compare_tokenizer.py covers all lengths.
TEST(Tokenizer, TruncatesPairs) {
  const BertTokenizer& tokenizer = small_tokenizer(0);
  const auto pair = [&](const char* a, const char* b, int max_length, Truncation t = Truncation::kLongestFirst) {
    return layout(tokenizer.encode_pair(a, b, max_length, t));
  };
  EXPECT_EQ(pair("a b", "c d e", 8), "[CLS] a b [SEP] | c d e [SEP] whole");
  EXPECT_EQ(pair("a b", "c d e", 7), "[CLS] a b [SEP] | c d [SEP] cut");
  EXPECT_EQ(pair("a b", "c d e", 6), "[CLS] a [SEP] | c d [SEP] cut");
  EXPECT_EQ(pair("a b c", "d", 6), "[CLS] a b [SEP] | d [SEP] cut");
  EXPECT_EQ(pair("a b c d", "e f g h", 8), "[CLS] a b [SEP] | e f g [SEP] cut");
  EXPECT_EQ(pair("a b c d e", "f g h h", 8), "[CLS] a b c [SEP] | f g [SEP] cut");
  EXPECT_EQ(pair("a b", "c", 3), "[CLS] [SEP] | [SEP] cut");
  EXPECT_EQ(pair("", "", 3), "[CLS] [SEP] | [SEP] whole");
  EXPECT_EQ(pair("a b", "c d e", 7, Truncation::kOnlyFirst), "[CLS] a [SEP] | c d e [SEP] cut");
  EXPECT_EQ(pair("a b", "c d e", 6, Truncation::kOnlySecond), "[CLS] a b [SEP] | c [SEP] cut");
  EXPECT_THROW(pair("a b", "c d e", 6, Truncation::kOnlyFirst), Error);
  EXPECT_THROW(pair("a b", "c d e", 5, Truncation::kOnlySecond), Error);
  EXPECT_THROW(pair("a", "b", 2), Error);
}

}  // namespace
}  // namespace berth::data
