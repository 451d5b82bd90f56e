// A folder with tokenizer.json, tokenizer_config.json and, where the input has a third part, vocab.txt.
#include "data/tokenizer/tokenizer_files.h"

#include "data/tokenizer/bert_tokenizer.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth;
  static const test::TempDir folder;
  const auto texts = fuzz::parts(fuzz::text_of(data, size), 3);
  test::write_bytes(folder / "tokenizer.json", texts[0]);
  test::write_bytes(folder / "tokenizer_config.json", texts[1].empty() ? "{}" : texts[1]);
  std::filesystem::remove(folder / "vocab.txt");
  if (!texts[2].empty()) test::write_bytes(folder / "vocab.txt", texts[2]);
  fuzz::reads([&] {
    data::TokenizerFiles files = data::read_tokenizer_files(folder.path());
    const data::Vocab& vocab = files.vocab;
    fuzz::require(vocab.unk() < vocab.size() && vocab.mask() < vocab.size(), "special tokens are of the vocabulary");
    const size_t own = vocab.tokens().size() - files.added_tokens.size();
    for (size_t i = 0; i < files.added_tokens.size(); ++i) {
      fuzz::require(!files.added_tokens[i].empty() && vocab.tokens()[own + i] == files.added_tokens[i], "added tokens come last");
    }
    if (size % 100 != 0) return;  // a tokenizer takes a thousand times as long to make
    const std::string text = "The [MASK] films, [ENT] été 中. " + vocab.tokens().back();
    const data::BertTokenizer tokenizer(std::move(files.vocab), files.options, std::move(files.added_tokens));
    std::vector<data::Token> tokens;
    tokenizer.tokenize(text, tokens);
    for (const data::Token& token : tokens)
      fuzz::require(token.id >= 0 && token.id < tokenizer.vocab().size() && token.end <= text.size(), "tokens are of the text");
  });
  return 0;
}
