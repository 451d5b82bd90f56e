// Which elements dropout keeps. An element is kept iff its uniform number is at least p, and is then scaled by 1 / (1 - p). The
// number is a pure function of (key; sample, place in the sample), so it is the same in any batch, on any rank and thread,
// forward and backward. Key: philox_key(seed, purpose, step, layer).
//
// Numbers come in blocks of 64: element e of a row of numbers takes lane (e % 64) / 16 of counter word c3 = e / 64 * 16 + e % 16,
// so that 16 counters side by side fill 4 whole vectors without a shuffle.
//   hidden states:        e = column,              counter = {sample, sample >> 32, position in the sample, c3}
//   attention weights:    e = query * P + key,     counter = {sample, sample >> 32, head, c3},
//                         P = attention_pitch(tokens of the sample)
#pragma once

#include <algorithm>
#include <cmath>

#include "data/philox.h"
#include "trainer/torch.h"

namespace berth::train {

struct Dropout {
  float p = 0;
  PhiloxKey key{};

  bool on() const { return p > 0; }
  float scale() const { return 1.f / (1.f - p); }
  // Kept iff the random word, shifted right by 8, is at least this: the same decision as philox_uniform(word) >= p.
  uint32_t threshold() const { return static_cast<uint32_t>(std::ceil(static_cast<double>(p) * 0x1.0p24)); }
};

// Tokens of a row of attention weights, rounded up to whole vectors.
inline int64_t attention_pitch(int64_t tokens) { return (tokens + 15) / 16 * 16; }

// Where rows of hidden states [N, H] belong: samples [N] int64 and position within the sample [N] int32.
struct RowIds {
  at::Tensor samples;
  at::Tensor positions;
};

// What the reference operations multiply with: 0 or scale(), fp32, one scalar Philox call at a time.
at::Tensor hidden_multiplier(const Dropout& dropout, const RowIds& rows, int64_t columns);  // [N, columns]
// [B, heads, queries, max_tokens], zero-padded; `tokens` are the B lengths.
at::Tensor attention_multiplier(const Dropout& dropout, const at::Tensor& samples, const at::Tensor& tokens, int64_t heads,
                                int64_t queries, int64_t max_tokens);

}  // namespace berth::train
