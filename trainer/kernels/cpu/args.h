// What the kernels of every device take: plain structs of pointers and numbers. No functions here: the header is also included by
// code compiled for newer processors than the one at hand.
#pragma once

#include <cstdint>

namespace berth::train::kernels {

struct Bf16 {
  uint16_t bits;
};
struct Fp16 {  // IEEE binary16
  uint16_t bits;
};

// See trainer/kernels/dropout.h. threshold 0: keep everything.
struct DropoutArgs {
  uint32_t key0, key1;
  uint32_t threshold;
  float scale;
};

// Rows of hidden states: which sample and position each belongs to, for dropout.
struct RowArgs {
  const int64_t* samples;
  const int32_t* positions;
  int64_t columns;
};

template <class T>
struct NormArgs {
  RowArgs rows;
  DropoutArgs dropout;
  const float* gamma;
  const float* beta;
  float eps;
  T* normalized;  // [N, H] (x - mean) / standard deviation, kept for backward
  float* rstd;    // [N]
};

// Word, position and segment tables [*, H] and the rows to add up. types may be null: no segments.
struct EmbeddingArgs {
  const float *words, *positions, *types;
  const int32_t *word_ids, *position_ids, *type_ids;
};

}  // namespace berth::train::kernels
