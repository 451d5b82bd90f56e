// A vocabulary for the targets that tokenize.
#pragma once

#include <string>
#include <vector>

#include "data/tokenizer/bert_tokenizer.h"

namespace berth::fuzz {

inline data::Vocab small_vocab(const std::vector<std::string>& further = {}) {
  std::vector<std::string> tokens{"[PAD]", "[UNK]",  "[CLS]", "[SEP]", "[MASK]", "the", "film",
                                  "##s",   "##able", "é",     "中",    "ά",      "##ß"};
  for (char c = 33; c < 127; ++c) {
    tokens.push_back({c});
    tokens.push_back({'#', '#', c});
  }
  tokens.insert(tokens.end(), further.begin(), further.end());
  return data::Vocab(std::move(tokens));
}

}  // namespace berth::fuzz
