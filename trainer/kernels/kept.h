// For autograd functions.
#pragma once

#include <torch/csrc/autograd/custom_function.h>

#include "trainer/torch.h"

namespace berth::train {

// What an autograd node keeps that is no tensor or number.
template <class T>
struct Kept : torch::CustomClassHolder {
  explicit Kept(T v) : value(std::move(v)) {}
  T value;
};
template <class T>
void keep(torch::autograd::AutogradContext* ctx, T value) {
  ctx->saved_data["kept"] = c10::IValue::make_capsule(c10::make_intrusive<Kept<T>>(std::move(value)));
}
template <class T>
T& kept(torch::autograd::AutogradContext* ctx) {
  return c10::static_intrusive_pointer_cast<Kept<T>>(ctx->saved_data["kept"].toCapsule())->value;
}

}  // namespace berth::train
