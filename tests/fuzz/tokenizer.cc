// The first byte chooses the options, the rest is the text.
#include <map>

#include "data/utf8.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/small_tokenizer.h"

namespace {

using namespace berth;

const data::BertTokenizer& tokenizer_of(int options) {
  static std::map<int, data::BertTokenizer> made;
  const auto found = made.find(options);
  if (found != made.end()) return found->second;
  data::TokenizerOptions chosen{
      .do_lower_case = (options & 1) != 0, .strip_accents = {}, .tokenize_chinese_chars = (options & 2) != 0};
  if (options & 4) chosen.strip_accents = !chosen.do_lower_case;
  const std::vector<std::string> added{"[LONG]", "[L"};
  return made.emplace(options, data::BertTokenizer(fuzz::small_vocab(added), chosen, added)).first->second;
}

void require_inside(const std::vector<data::Token>& tokens, std::string_view text, int32_t vocab_size) {
  const auto boundary = [&](uint32_t byte) {
    return byte == text.size() || (static_cast<unsigned char>(text[byte]) & 0xC0) != 0x80;
  };
  for (const data::Token& token : tokens) {
    fuzz::require(token.id >= 0 && token.id < vocab_size, "ids are of the vocabulary");
    fuzz::require(token.begin <= token.end && token.end <= text.size(), "offsets are inside the text");
    fuzz::require(boundary(token.begin) && boundary(token.end), "offsets cut no code point");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const data::BertTokenizer& tokenizer = tokenizer_of(data[0] % 8);
  std::string text(fuzz::text_of(data + 1, size - 1));
  if (data::find_invalid_utf8(text)) text = data::latin1_to_utf8(text);

  std::vector<data::Token> tokens;
  tokenizer.tokenize(text, tokens);
  require_inside(tokens, text, tokenizer.vocab().size());
  const int max_length = 3 + data[0] / 8;
  const data::Encoding encoding = tokenizer.encode(text, max_length);
  fuzz::require(encoding.tokens.size() == std::min<size_t>(tokens.size() + 2, static_cast<size_t>(max_length)),
                "texts are cut at max_length");
  fuzz::require(std::ssize(tokenizer.encode_pair(text, text, max_length).tokens) <= max_length, "pairs are cut at max_length");
  fuzz::reads([&] {
    for (const data::Encoding& window : tokenizer.encode_windows(text, max_length, max_length / 4)) {
      fuzz::require(std::ssize(window.tokens) <= max_length, "windows are cut at max_length");
      require_inside(window.tokens, text, tokenizer.vocab().size());
    }
  });
  std::vector<int32_t> ids;
  for (const data::Token& token : tokens) ids.push_back(token.id);
  fuzz::require(!data::find_invalid_utf8(tokenizer.decode(ids, data[0] & 1)), "decoding gives UTF-8");
  return 0;
}
