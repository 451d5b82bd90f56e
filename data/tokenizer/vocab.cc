#include "data/tokenizer/vocab.h"

#include <bit>
#include <functional>
#include <sstream>
#include <utility>

#include "data/check.h"
#include "data/files/files.h"
#include "data/files/sha256.h"
#include "data/utf8.h"

namespace berth::data {

namespace {

// The largest of BERT's vocabularies has half a million. A token takes about 70 bytes.
constexpr size_t kMaxTokens = 4'000'000;
constexpr uint64_t kMaxBytes = uint64_t{64} << 20;

}  // namespace

Vocab::Vocab(std::vector<std::string> tokens, const std::string& origin) : tokens_(std::move(tokens)) {
  check(tokens_.size() <= kMaxTokens, origin, " holds ", tokens_.size(), " tokens, which is too many for a vocabulary");
  slots_.assign(std::bit_ceil(2 * tokens_.size() + 1), -1);
  for (size_t i = 0; i < tokens_.size(); ++i) {
    check(!find_invalid_utf8(tokens_[i]), origin, ": token ", i, " is not valid UTF-8; a WordPiece vocabulary was expected");
    slots_[slot(tokens_[i])] = static_cast<int32_t>(i);
  }
  const auto special = [&](const char* token) {
    const int32_t id = find(token);
    check(id >= 0, origin, " has no ", token, ": this is not a BERT vocabulary (", tokens_.size(), " tokens)");
    return id;
  };
  pad_ = special("[PAD]");
  unk_ = special("[UNK]");
  cls_ = special("[CLS]");
  sep_ = special("[SEP]");
  mask_ = special("[MASK]");
}

Vocab Vocab::load(const std::filesystem::path& vocab_txt) {
  std::istringstream in(read_file(vocab_txt, kMaxBytes));
  std::vector<std::string> tokens;
  for (std::string line; std::getline(in, line);) {
    if (line.ends_with('\r')) line.pop_back();
    check(tokens.size() < kMaxTokens, vocab_txt.string(), " holds more than ", kMaxTokens,
          " lines, which are too many for a vocabulary");
    tokens.push_back(std::move(line));
  }
  return Vocab(std::move(tokens), vocab_txt.string());
}

// Where `token` is, or would be put.
size_t Vocab::slot(std::string_view token) const {
  const size_t mask = slots_.size() - 1;
  size_t i = std::hash<std::string_view>{}(token)&mask;
  while (slots_[i] >= 0 && tokens_[static_cast<size_t>(slots_[i])] != token) i = (i + 1) & mask;
  return i;
}

int32_t Vocab::find(std::string_view token) const { return slots_[slot(token)]; }

std::string Vocab::sha256() const {
  Sha256 digest;
  for (const std::string& token : tokens_) {
    digest.update(token);
    digest.update("\n");
  }
  return digest.hex();
}

}  // namespace berth::data
