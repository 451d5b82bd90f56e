// Loading and saving tokenizers as model folders, and what is refused.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "data/check.h"
#include "data/tokenizer/bert_tokenizer.h"
#include "tests/support/temp_dir.h"

namespace berth::data {
namespace {

namespace fs = std::filesystem;

const char* const kVocab =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\nHello\n##s\n,\ncafe\ncaf\xC3\xA9\n\xE4\xB8\xAD\n\xE4\xB8\xAD\xE4\xB8\xAD\n";

class TokenizerFiles : public testing::Test {
 protected:
  void write(const char* name, const std::string& text) const { std::ofstream(folder_ / name, std::ios::binary) << text; }
  BertTokenizer load() const { return BertTokenizer::load(folder_); }
  std::string error() const {
    try {
      load();
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::kBadInput);
      return e.what();
    }
    return "no error";
  }

  test::TempDir temporary_;
  const fs::path folder_ = temporary_.path();
};

std::string pieces(const BertTokenizer& tokenizer, std::string_view text) {
  std::vector<Token> tokens;
  tokenizer.tokenize(text, tokens);
  std::string out;
  for (const Token& token : tokens) out += (out.empty() ? "" : " ") + tokenizer.vocab().token(token.id);
  return out;
}

TEST_F(TokenizerFiles, BareVocabularyLowerCases) {
  write("my-vocab.txt", kVocab);
  write("tokenizer_config.json", R"({"do_lower_case": false})");  // belongs to a vocab.txt, not to this file
  const BertTokenizer tokenizer = BertTokenizer::load(folder_ / "my-vocab.txt");
  EXPECT_EQ(pieces(tokenizer, "Hellos, CAF\xC3\x89"), "hello ##s , cafe");
}

TEST_F(TokenizerFiles, WindowsLineEndsAreNoPartOfTokens) {
  write("vocab.txt", "[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\n[MASK]\r\nhello\r\n");
  EXPECT_EQ(pieces(load(), "Hello"), "hello");
}

TEST_F(TokenizerFiles, ObeysTokenizerConfig) {
  write("vocab.txt", kVocab);
  write("tokenizer_config.json", R"({"do_lower_case": false, "strip_accents": null, "tokenize_chinese_chars": false})");
  EXPECT_EQ(pieces(load(), "Hello caf\xC3\xA9 \xE4\xB8\xAD\xE4\xB8\xAD"), "Hello caf\xC3\xA9 \xE4\xB8\xAD\xE4\xB8\xAD");
  EXPECT_EQ(pieces(BertTokenizer::load(folder_ / "vocab.txt"), "Hello"), "Hello") << "the config beside vocab.txt counts too";
  write("tokenizer_config.json", R"({"do_lower_case": false, "strip_accents": true})");
  EXPECT_EQ(pieces(load(), "Hello caf\xC3\xA9 \xE4\xB8\xAD\xE4\xB8\xAD"), "Hello cafe \xE4\xB8\xAD \xE4\xB8\xAD");
  write("tokenizer_config.json", R"({"do_lower_case": true, "strip_accents": false})");
  EXPECT_EQ(pieces(load(), "Hello CAF\xC3\x89"), "hello caf\xC3\xA9");
}

TEST_F(TokenizerFiles, TokenizerJsonAloneSuffices) {
  write("tokenizer.json", R"({"normalizer": {"type": "BertNormalizer", "lowercase": false, "strip_accents": null,
    "handle_chinese_chars": true}, "model": {"type": "WordPiece", "vocab": {"Hello": 6, "hello": 5, "[PAD]": 0, "[UNK]": 1,
    "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}}, "added_tokens": [{"id": 0, "content": "[PAD]"}, {"id": 7, "content": "[E1]"}]})");
  const BertTokenizer tokenizer = load();
  EXPECT_EQ(pieces(tokenizer, "Hello[E1]hello"), "Hello [E1] hello");
  EXPECT_EQ(tokenizer.vocab().size(), 8);
  EXPECT_EQ(tokenizer.vocab().find("[E1]"), 7);
}

TEST_F(TokenizerFiles, SaveAndLoadGivesTheSame) {
  write("vocab.txt", kVocab);
  write("tokenizer_config.json", R"({"do_lower_case": false, "strip_accents": true, "added_tokens_decoder":
    {"13": {"content": "[E1]", "special": true}, "0": {"content": "[PAD]"}}})");
  const BertTokenizer before = load();
  const fs::path copy = folder_ / "copy";
  fs::create_directory(copy);
  EXPECT_EQ(before.save(copy, 512).size(), 3u);
  const BertTokenizer after = BertTokenizer::load(copy);
  EXPECT_EQ(after.vocab().sha256(), before.vocab().sha256());
  EXPECT_EQ(after.options().do_lower_case, false);
  EXPECT_EQ(after.options().strip_accents, std::optional<bool>(true));
  EXPECT_EQ(pieces(after, "Hello[E1] caf\xC3\xA9"), "Hello [E1] cafe");
  std::ifstream in(copy / "vocab.txt");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), kVocab);
}

TEST_F(TokenizerFiles, AFifoIsRefusedAndNotWaitedFor) {
  ASSERT_EQ(::mkfifo((folder_ / "vocab.txt").c_str(), 0600), 0);
  EXPECT_EQ(error(), (folder_ / "vocab.txt").string() + ": is not a regular file");
}

TEST_F(TokenizerFiles, CopiesOfAVocabularyAreIndependent) {
  auto first = std::make_unique<Vocab>(std::vector<std::string>{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "a"});
  const Vocab second = *first;
  first.reset();
  EXPECT_EQ(second.find("b"), 6);
  EXPECT_EQ(second.find("a"), 7) << "of equal tokens the last one counts";
  EXPECT_EQ(second.find("c"), -1);
}

TEST_F(TokenizerFiles, AVocabularyHasABoundedNumberOfTokens) {
  write("vocab.txt", kVocab + std::string(4'000'000, '\n'));
  EXPECT_NE(error().find("vocab.txt holds more than 4000000 lines"), std::string::npos) << error();
  write("vocab.txt", std::string((64 << 20) + 1, 'x'));
  EXPECT_NE(error().find("vocab.txt: has 67108865 bytes"), std::string::npos) << error();
}

TEST_F(TokenizerFiles, RefusesWhatItCannotFollow) {
  EXPECT_NE(error().find("neither vocab.txt nor tokenizer.json"), std::string::npos) << error();
  write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\nhello\n");
  EXPECT_NE(error().find("no [MASK]"), std::string::npos) << error();
  write("vocab.txt", concat(kVocab, "caf\xE9\n"));
  EXPECT_NE(error().find("token 13 is not valid UTF-8"), std::string::npos) << error();
  write("vocab.txt", kVocab);
  const struct {
    const char *config, *message;
  } cases[] = {
      {"{", "not valid JSON"},
      {"[]", "is not a JSON object"},
      {R"({"do_lower_case": "yes"})", "do_lower_case is \"yes\""},
      {R"({"unk_token": "<unk>"})", "unk_token is \"<unk>\""},
      {R"({"mask_token": {"content": "<mask>"}})", "mask_token is \"<mask>\""},
      {R"({"added_tokens_decoder": {"13": {"content": "[E1]", "normalized": true}}})", "marked \"normalized\""},
      {R"({"added_tokens_decoder": {"14": {"content": "[E1]"}}})", "has the id 14"},
      {R"({"added_tokens_decoder": {"5": {"content": "[E1]"}}})", "token 5 is \"hello\""},
      {R"({"added_tokens_decoder": {"x": {"content": "[E1]"}}})", "has the key \"x\""},
      {R"({"added_tokens_decoder": {"13": {}}})", "has no content"},
  };
  for (const auto& c : cases) {
    write("tokenizer_config.json", c.config);
    EXPECT_NE(error().find(c.message), std::string::npos) << c.config << " gave: " << error();
  }
  fs::remove(folder_ / "tokenizer_config.json");
  fs::remove(folder_ / "vocab.txt");
  const struct {
    const char *full, *message;
  } full_cases[] = {
      {R"({"model": {"type": "BPE", "vocab": {}}})", "the model is \"BPE\""},
      {R"({"model": {"type": "WordPiece"}})", "has no model.vocab"},
      {R"({"model": {"type": "WordPiece", "vocab": {"a": 0, "b": 5}}})", "\"b\" has the id 5"},
      {R"({"model": {"type": "WordPiece", "vocab": {"a": 0, "b": -1}}})", "\"b\" has the id -1"},
      {R"({"model": {"type": "WordPiece", "vocab": {"a": 0, "b": 0}}})", "have the same id 0"},
      {R"({"normalizer": {"type": "Sequence"}, "model": {"type": "WordPiece", "vocab": {"a": 0}}})", "BertNormalizer is needed"},
  };
  for (const auto& c : full_cases) {
    write("tokenizer.json", c.full);
    EXPECT_NE(error().find(c.message), std::string::npos) << c.full << " gave: " << error();
  }
}

}  // namespace
}  // namespace berth::data
