#include "trainer/model/config.h"

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth;
  using train::BertConfig;
  fuzz::reads([&] {
    const auto config = BertConfig::parse(std::string(fuzz::text_of(data, size)), "config.json");
    const std::string written = config.to_json("BertForSequenceClassification");
    const auto again = BertConfig::parse(written, "config.json");
    fuzz::require(again.vocab_size == config.vocab_size && again.hidden_size == config.hidden_size &&
                      again.num_hidden_layers == config.num_hidden_layers && again.label_names == config.label_names &&
                      again.family == config.family && again.windows == config.windows,
                  "a model that is saved is the one that was loaded");
    fuzz::require(again.to_json("BertForSequenceClassification") == written, "saving again gives the same bytes");
  });
  return 0;
}
