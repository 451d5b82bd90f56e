#include "data/tokenizer/vocab.h"

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth;
  const fuzz::InputFile file(fuzz::text_of(data, size));
  fuzz::reads([&] {
    const auto vocab = data::Vocab::load(file.path());
    for (int32_t id = 0; id < vocab.size(); ++id)
      fuzz::require(vocab.token(vocab.find(vocab.token(id))) == vocab.token(id), "every token is found");
    vocab.sha256();
  });
  return 0;
}
