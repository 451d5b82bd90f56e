#include "data/pipeline/masking.h"

#include <algorithm>

#include "data/check.h"

namespace berth::data {
namespace {

constexpr float kMasked = 0.8f, kRandom = 0.1f;  // of the targets

}  // namespace

void MaskOptions::validate() const {
  check_usage(probability > 0 && probability <= 1, "--mlm-probability must lie in (0, 1], got ", probability);
}

Masker::Masker(const Vocab& vocab, MaskOptions options) : options_(options), mask_(vocab.mask()) {
  const auto size = static_cast<size_t>(vocab.size());
  never_.resize(size);
  for (const int32_t id : {vocab.cls(), vocab.sep(), vocab.pad(), vocab.mask()}) never_[static_cast<size_t>(id)] = true;
  continues_.resize(size);
  for (size_t id = 0; id < size; ++id) continues_[id] = vocab.token(static_cast<int32_t>(id)).starts_with("##");
}

void Masker::operator()(Batch& batch, uint64_t epoch) const {
  const PhiloxKey key = philox_key(options_.seed, Purpose::kMlmMask, epoch);
  batch.labels.insert(batch.labels.begin(), batch.input_ids.size(), kIgnoreIndex);
  for (size_t s = 0; s < batch.sequence_ids.size(); ++s)
    mask(batch, static_cast<size_t>(batch.cu_seqlens[s]), static_cast<size_t>(batch.cu_seqlens[s + 1]), batch.sequence_ids[s],
         key);
}

void Masker::mask(Batch& batch, size_t begin, size_t end, int64_t sequence, const PhiloxKey& key) const {
  bool in_word = false, chosen = false;
  for (size_t t = begin; t < end; ++t) {
    int32_t& token = batch.input_ids[t];
    const auto id = static_cast<size_t>(token);
    check_internal(id < never_.size(), "token id ", token, " is not in the vocabulary of ", never_.size());
    if (never_[id]) {
      in_word = false;
      continue;
    }
    const PhiloxCounter words =
        philox({static_cast<uint32_t>(sequence), static_cast<uint32_t>(static_cast<uint64_t>(sequence) >> 32),
                static_cast<uint32_t>(t - begin), 0},
               key);
    if (!(options_.whole_words && in_word && continues_[id]))
      chosen = philox_uniform(words[0]) < static_cast<float>(options_.probability);
    in_word = true;
    if (!chosen) continue;
    batch.labels[t] = token;
    const float way = options_.whole_words ? 0 : philox_uniform(words[1]);
    if (way < kMasked)
      token = mask_;
    else if (way < kMasked + kRandom)
      token = static_cast<int32_t>(uint64_t{words[2]} * never_.size() >> 32);
  }
}

void target_masks(const Vocab& vocab, Batch& batch) {
  batch.labels.insert(batch.labels.begin(), batch.input_ids.size(), kIgnoreIndex);
  for (size_t t = 0; t < batch.input_ids.size(); ++t)
    if (batch.input_ids[t] == vocab.mask()) batch.labels[t] = vocab.mask();
}

}  // namespace berth::data
