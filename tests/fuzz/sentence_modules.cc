// A folder of sentence-transformers: modules.json and three files that it names.
#include "trainer/checkpoint/sentence_modules.h"

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth;
  static const test::TempDir folder;
  constexpr const char* kFiles[] = {"modules.json", "1_Pooling/config.json", "sentence_bert_config.json",
                                    "config_sentence_transformers.json"};
  const auto texts = fuzz::parts(fuzz::text_of(data, size), std::size(kFiles));
  for (size_t i = 0; i < std::size(kFiles); ++i) test::write_bytes(folder / kFiles[i], texts[i].empty() ? "{}" : texts[i]);
  fuzz::reads([&] {
    const auto modules = train::read_sentence_modules(folder.path());
    const auto inside = modules.encoder.lexically_normal().lexically_relative(folder.path());
    fuzz::require(!inside.empty() && *inside.begin() != "..", "the encoder lies in the folder");
    fuzz::require(!modules.max_length || *modules.max_length >= 1, "a text has a token");
  });
  return 0;
}
