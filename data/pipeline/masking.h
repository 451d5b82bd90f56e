// Masked language modelling: which tokens a model has to predict, and what it sees in their place.
//
// As Hugging Face's DataCollatorForLanguageModeling: each token is a target with a probability of 15 %; of the targets 80 % are
// replaced by [MASK], 10 % by a random token of the whole vocabulary, 10 % stay. With whole words the first WordPiece of a word
// decides for all of them, and targets always become [MASK], as there. [CLS], [SEP], [PAD] and [MASK] are never targets; [UNK]
// may be one. A word is a WordPiece and the '##' pieces after it (there: all that stands between spaces).
//
// Everything is drawn from (seed, epoch; sequence, position), so masks depend neither on the batch, nor on the rank, nor on what
// was drawn before.
#pragma once

#include <cstdint>
#include <vector>

#include "data/philox.h"
#include "data/samples/batch.h"
#include "data/tokenizer/vocab.h"

namespace berth::data {

struct MaskOptions {
  double probability = 0.15;  // of a token, or of a word
  bool whole_words = false;
  uint64_t seed = 42;

  void validate() const;  // Error(kUsage)
};

// The epoch of masks that are the same at each evaluation.
inline constexpr uint64_t kFixedMasks = UINT64_MAX;

// Immutable and safe to share between threads.
class Masker {
 public:
  Masker(const Vocab& vocab, MaskOptions options);
  // Replaces tokens, and puts the targets in front of the labels: [T] the token that stood there, or kIgnoreIndex.
  void operator()(Batch& batch, uint64_t epoch) const;

 private:
  void mask(Batch& batch, size_t begin, size_t end, int64_t sequence, const PhiloxKey& key) const;

  MaskOptions options_;
  int32_t mask_;
  std::vector<bool> never_, continues_;  // [V]
};

// Makes [MASK]s the targets, and nothing else: for predictions.
void target_masks(const Vocab& vocab, Batch& batch);

}  // namespace berth::data
