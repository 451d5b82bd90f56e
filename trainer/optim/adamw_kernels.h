// The inner loops of AdamW, compiled for several instruction sets and chosen when the program loads.
#pragma once

#include <cstdint>

namespace berth::train::kernels {

struct AdamWScalars {
  float shrink;  // 1 - lr * weight_decay
  float beta1, beta2, epsilon;
  float step_size;                 // lr / (1 - beta1^t)
  float inverse_sqrt_correction2;  // 1 / sqrt(1 - beta2^t)
  float grad_scale;                // of clipping
};

double sum_of_squares(const float* x, int64_t n);
void adamw(float* p, const float* g, float* m, float* v, int64_t n, const AdamWScalars& s);
void scale(float* p, int64_t n, float factor);

}  // namespace berth::train::kernels
