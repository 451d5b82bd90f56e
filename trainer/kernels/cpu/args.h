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

// AdamW where the host does not wait: what its kernels take, and what they leave on the device (trainer/optim/adamw.h).
struct AdamWNumbers {
  double lr, weight_decay, beta1, beta2, epsilon;
  double max_grad_norm;               // 0: no clipping
  int32_t scale_growth_interval = 0;  // steps; 0: the loss is not scaled
  int32_t halts = 0;                  // whether no step updates anything after one that is not finite (but for the scale alone)
};
// Backward of fp16 begins with the loss times `scale`, for gradients that would else round to zero. As torch.amp.GradScaler: half of it
// after a gradient that is not finite, twice after an interval of updates; berth's does not fall below 1.
struct LossScale {
  float scale;
  int32_t updates;  // since the scale has changed
};
struct StepScalars {
  double norm;           // of the whole gradient, unscaled, before clipping
  double loss;           // of all ranks, unscaled
  int64_t updates;       // made so far, this step's with them
  int32_t finite;        // whether norm and loss are, and no step has halted the others: if not, this step updates nothing
  int32_t overflowed;    // not finite, for the scale alone, which is now smaller
  int32_t halted;        // no step updates anything any more (AdamWNumbers::halts)
  LossScale loss_scale;  // of the next step
  // What the update multiplies with: as AdamWScalars (trainer/optim/adamw_kernels.h).
  float grad_scale, shrink, step_size, inverse_sqrt_correction2;
};

// What becomes of a group of neighbouring elements: bits of its flag.
constexpr uint8_t kDecays = 1;      // shrinks by weight decay
constexpr uint8_t kHasMoments = 2;  // has had a gradient; one without has moments of zero, for good

}  // namespace berth::train::kernels
