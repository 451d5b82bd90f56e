#include "data/text/augment.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "data/check.h"
#include "data/philox.h"
#include "data/text/normalize.h"
#include "data/words.h"

namespace berth::data {
namespace {

using Words = std::vector<std::string>;

// The random numbers of one text of one copy.
class Draws {
 public:
  Draws(PhiloxKey key, uint32_t text) : key_(key), text_(text) {}

  uint32_t bits() {
    if (next_ % 4 == 0) block_ = philox({next_ / 4, text_, 0, 0}, key_);
    return block_[next_++ % 4];
  }
  size_t below(size_t n) { return static_cast<size_t>(uint64_t{bits()} * n >> 32); }
  // `count` of the numbers below `n`, rising: the first steps of Fisher and Yates' shuffle.
  std::vector<size_t> choose(size_t n, size_t count) {
    std::vector<size_t> all(n);
    std::iota(all.begin(), all.end(), size_t{0});
    for (size_t i = 0; i < count; ++i) std::swap(all[i], all[i + below(n - i)]);
    all.resize(count);
    std::sort(all.begin(), all.end());
    return all;
  }

 private:
  PhiloxKey key_;
  uint32_t text_, next_ = 0;
  PhiloxCounter block_{};
};

Words split(const std::string& text) {
  const std::string clean = collapse_whitespace(text);
  Words words;
  for (size_t begin = 0; begin < clean.size();) {
    const size_t end = std::min(clean.find(' ', begin), clean.size());
    words.push_back(clean.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

// How many of `words` words are changed.
size_t share(size_t words, double fraction) {
  return std::clamp<size_t>(static_cast<size_t>(std::llround(fraction * static_cast<double>(words))), 1, words);
}

void swap_words(Words& words, double fraction, Draws& draws) {
  if (words.size() < 2) return;
  for (size_t swaps = share(words.size(), fraction); swaps > 0; --swaps) {
    const size_t first = draws.below(words.size()), other = draws.below(words.size() - 1);
    std::swap(words[first], words[other + (other >= first)]);
  }
}

void delete_words(Words& words, double fraction, Draws& draws) {
  if (words.size() < 2) return;
  const std::vector<size_t> gone = draws.choose(words.size(), std::min(share(words.size(), fraction), words.size() - 1));
  for (size_t i = gone.size(); i-- > 0;) words.erase(words.begin() + static_cast<ptrdiff_t>(gone[i]));
}

HiddenWords hide_words(Words words, double fraction, Draws& draws) {
  HiddenWords text;
  if (!words.empty()) text.hidden = draws.choose(words.size(), share(words.size(), fraction));
  for (size_t i = 0; i < text.hidden.size(); ++i) text.draws.push_back(philox_uniform(draws.bits()));
  text.words = std::move(words);
  return text;
}

// One text of a copy on its way.
struct Text {
  std::string* text;
  HiddenWords hidden;  // kSubstitute: what the model gets
};

void substitute(std::vector<Text>& texts, const SubstituteWords& model) {
  if (texts.empty()) return;
  std::vector<HiddenWords> asked;
  asked.reserve(texts.size());
  for (Text& text : texts) asked.push_back(std::move(text.hidden));
  const auto answers = model(asked);
  check_internal(answers.size() == asked.size(), "words for ", answers.size(), " of ", asked.size(), " texts");
  for (size_t i = 0; i < texts.size(); ++i) {
    check_internal(answers[i].size() == asked[i].hidden.size(), "another number of words than are hidden");
    for (size_t k = 0; k < answers[i].size(); ++k)
      if (!answers[i][k].empty()) asked[i].words[asked[i].hidden[k]] = answers[i][k];
    *texts[i].text = joined(asked[i].words, " ");
  }
}

}  // namespace

void AugmentOptions::validate() const {
  constexpr int kMostCopies = 1000;
  const AugmentOptions defaults;
  check_usage(any() || (copies == defaults.copies && fraction == defaults.fraction),
              "copies or a share of words are given, but no augmentation: swap, delete or substitute");
  check_usage(copies >= 1 && copies <= kMostCopies, "augmented copies of each row: ", copies, ", expected 1 to ", kMostCopies);
  check_usage(fraction > 0 && fraction <= 1, "the share of words to change must be above 0 and at most 1, got ", fraction);
  const bool needs_model = std::find(kinds.begin(), kinds.end(), AugmentKind::kSubstitute) != kinds.end();
  check_usage(!needs_model || substitute,
              "the augmentation 'substitute' needs a masked language model: a BertForMaskedLM folder");
}

std::vector<AugmentedRecord> augment(std::span<const Record* const> records, int copy, uint64_t seed,
                                     const AugmentOptions& options) {
  std::vector<AugmentedRecord> copies;
  copies.reserve(records.size());  // `texts` points into them
  std::vector<Text> texts;
  const auto change = [&](AugmentKind kind, std::string& text, Draws draws) {
    Words words = split(text);
    if (kind == AugmentKind::kSubstitute) {
      texts.push_back({&text, hide_words(std::move(words), options.fraction, draws)});
      return;
    }
    (kind == AugmentKind::kSwap ? swap_words : delete_words)(words, options.fraction, draws);
    text = joined(words, " ");
  };
  for (size_t i = 0; i < records.size(); ++i) {
    const auto row = static_cast<uint64_t>(records[i]->row);
    const AugmentKind kind = options.kinds[(row - 1 + static_cast<uint64_t>(copy)) % options.kinds.size()];
    Record& made = copies.emplace_back(AugmentedRecord{i, kind, *records[i]}).record;
    const PhiloxKey key = philox_key(seed, Purpose::kAugment, row, static_cast<uint32_t>(copy));
    change(kind, made.text, Draws(key, 0));
    if (made.has_pair) change(kind, made.text_pair, Draws(key, 1));
  }
  substitute(texts, options.substitute);
  return copies;
}

}  // namespace berth::data
