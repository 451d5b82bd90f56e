// How a text's tokens become its embedding: what a folder of sentence-transformers says of that.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace berth::train {

struct SentenceModules {
  std::filesystem::path encoder;           // the folder of config.json, weights and tokenizer
  std::string pooling = "mean";            // as it stands there: cls, mean, max, lasttoken, …
  bool normalize = false;                  // embeddings get the length 1
  bool lower_case = false;                 // texts, before the tokenizer sees them
  std::optional<int64_t> max_length = {};  // tokens of a text; unset: what the tokenizer's configuration says
  std::string prompt = {};                 // before each text
};

// Reads modules.json and what it names: sentence_bert_config.json, the Pooling's config.json, config_sentence_transformers.json and
// tokenizer_config.json, as sentence-transformers 2 to 6 write them. A folder without modules.json is taken as sentence-transformers
// takes it: the mean of all tokens. Throws Error(kBadInput), also for modules other than Transformer, Pooling and Normalize.
SentenceModules read_sentence_modules(const std::filesystem::path& folder);

}  // namespace berth::train
