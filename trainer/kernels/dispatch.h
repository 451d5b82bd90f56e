// From tensors to the CPU kernels of kernels/cpu/table.h.
#pragma once

#include <vector>

#include "trainer/kernels/arguments.h"
#include "trainer/kernels/cpu/table.h"

namespace berth::train::cpu {

// The kernels that berth was compiled with, and those of them that this processor can run; the fastest last.
std::vector<const Table*> compiled_tables();
const std::vector<const Table*>& supported_tables();
inline const Table& best_table() { return *supported_tables().back(); }

// A 64-byte aligned buffer of at least `floats`, one per thread, valid until the thread's next call.
float* thread_scratch(int64_t floats);

inline const TypedTable<float>& typed(const Table& table, float) { return table.f32; }
inline const TypedTable<Bf16>& typed(const Table& table, Bf16) { return table.bf16; }

template <class T>
T* data(const at::Tensor& tensor) {
  return static_cast<T*>(tensor.mutable_data_ptr());
}

// f(T{}) with the T that `type` is kept in: float or Bf16.
template <class Function>
auto by_type(at::ScalarType type, const Function& f) {
  TORCH_INTERNAL_ASSERT(type == at::kFloat || type == at::kBFloat16, "CPU kernels take fp32 or bf16, not ", type);
  return type == at::kFloat ? f(float{}) : f(Bf16{});
}

}  // namespace berth::train::cpu
