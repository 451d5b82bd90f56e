// Attention over packed samples on the CPU, without padding: forward and its own backward. See reference.h for the operation.
//
// The weights are kept in the compute type, negative where dropped: [queries, pitch] for each sample and head.
#pragma once

#include "trainer/kernels/dispatch.h"
#include "trainer/kernels/reference.h"

namespace berth::train {

// q [queries, H], k, v [T, H]: rows may be strided. Fills `weights`.
at::Tensor attention_forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Segments& segments,
                             const Dropout& dropout, at::Tensor& weights, const cpu::Table& table = cpu::best_table());

struct AttentionGradients {
  at::Tensor q, k, v;
};
AttentionGradients attention_backward(const at::Tensor& d_out, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                      const at::Tensor& weights, const Segments& segments, const Dropout& dropout,
                                      const cpu::Table& table = cpu::best_table());

}  // namespace berth::train
