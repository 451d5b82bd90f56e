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

// Word, position and segment tables [*, H] and the rows to add up.
struct EmbeddingArgs {
  const float *words, *positions, *types;
  const int32_t *word_ids, *position_ids, *type_ids;
};

// AdamW where the host does not wait: what its kernels take, and what they leave on the device (trainer/optim/adamw.h).
struct AdamWNumbers {
  double lr, weight_decay, beta1, beta2, epsilon;
  double max_grad_norm;  // 0: no clipping
};
struct StepScalars {
  double norm;      // of the whole gradient, before clipping
  double loss;      // of all ranks
  int64_t updates;  // made so far, this step's with them
  int32_t finite;   // whether norm and loss are: if not, this step updates nothing
  // What the update multiplies with: as AdamWScalars (trainer/optim/adamw_kernels.h).
  float grad_scale, shrink, step_size, inverse_sqrt_correction2;
};

// What becomes of a group of neighbouring elements: bits of its flag.
constexpr uint8_t kDecays = 1;      // shrinks by weight decay
constexpr uint8_t kHasMoments = 2;  // has had a gradient; one without has moments of zero, for good

}  // namespace berth::train::kernels
