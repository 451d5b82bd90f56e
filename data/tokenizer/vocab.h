// A WordPiece vocabulary: vocab.txt, one token per line, the id is the line number.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace berth::data {

class Vocab {
 public:
  // Throws Error(kBadInput) if a special token ([PAD] [UNK] [CLS] [SEP] [MASK]) is missing or a token is not UTF-8; `origin` is
  // what the message calls the vocabulary. Of equal tokens the last id is found, as in Hugging Face.
  explicit Vocab(std::vector<std::string> tokens, const std::string& origin = "vocabulary");
  static Vocab load(const std::filesystem::path& vocab_txt);

  int32_t size() const { return static_cast<int32_t>(tokens_.size()); }
  const std::string& token(int32_t id) const { return tokens_[static_cast<size_t>(id)]; }
  const std::vector<std::string>& tokens() const { return tokens_; }
  int32_t find(std::string_view token) const;  // -1 if unknown
  int32_t pad() const { return pad_; }
  int32_t unk() const { return unk_; }
  int32_t cls() const { return cls_; }
  int32_t sep() const { return sep_; }
  int32_t mask() const { return mask_; }
  // SHA-256 (hex) of the tokens, each followed by a newline: equal for equal vocabularies whatever file they came from.
  std::string sha256() const;

 private:
  size_t slot(std::string_view token) const;

  std::vector<std::string> tokens_;
  std::vector<int32_t> slots_;  // open addressing, a power of two; ids or -1
  int32_t pad_ = -1, unk_ = -1, cls_ = -1, sep_ = -1, mask_ = -1;
};

}  // namespace berth::data
