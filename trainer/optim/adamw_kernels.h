// The inner loops of AdamW and LAMB, compiled for several instruction sets and chosen when the program loads.
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

struct LambScalars {
  float beta1, beta2, epsilon;
  float inverse_correction1;       // 1 / (1 - beta1^t)
  float inverse_sqrt_correction2;  // 1 / sqrt(1 - beta2^t)
  float grad_scale;                // of clipping
  float decay;                     // weight decay
};
// Sums of squares: of values, of the directions of their update.
struct LambSums {
  double weights, directions;
};

double sum_of_squares(const float* x, int64_t n);
void adamw(float* p, const float* g, float* m, float* v, int64_t n, const AdamWScalars& s);
void scale(float* p, int64_t n, float factor);
// The moments after one more gradient, and what p and its direction (lamb.h: u) add to their norms.
LambSums lamb_moments(const float* p, const float* g, float* m, float* v, int64_t n, const LambScalars& s);
// p -= way * direction.
void lamb(float* p, const float* m, const float* v, int64_t n, const LambScalars& s, float way);
// average += weight * (p - average).
void average(float* average, const float* p, int64_t n, float weight);
// p rounded to bf16, to nearest, ties to even; NaN stays NaN. The second: as fp32.
void round_to_bf16(uint16_t* rounded, const float* p, int64_t n);
void round_to_bf16(float* rounded, const float* p, int64_t n);

}  // namespace berth::train::kernels
