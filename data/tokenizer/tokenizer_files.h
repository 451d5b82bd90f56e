// What the files of a tokenizer say, before a BertTokenizer, which makes a table of all characters, is built of it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/tokenizer/basic_tokenizer.h"
#include "data/tokenizer/vocab.h"

namespace berth::data {

struct TokenizerFiles {
  Vocab vocab;  // with the added tokens
  TokenizerOptions options;
  std::vector<std::string> added_tokens;
};

// As BertTokenizer::load(), with its errors.
TokenizerFiles read_tokenizer_files(const std::filesystem::path& path);

}  // namespace berth::data
