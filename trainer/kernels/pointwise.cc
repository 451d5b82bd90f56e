#include "trainer/kernels/pointwise.h"

namespace berth::train {
namespace {

constexpr int64_t kElementGrain = 1 << 13, kRowGrain = 32, kColumnGrain = 64;

}  // namespace

at::Tensor activation_forward(const at::Tensor& x, Activation activation, const cpu::Table& table) {
  at::Tensor out = at::empty_like(x);
  cpu::by_type(x.scalar_type(), [&](auto type) {
    using T = decltype(type);
    at::parallel_for(0, x.numel(), kElementGrain, [&](int64_t begin, int64_t end) {
      typed(table, type).activation_forward(static_cast<int>(activation), cpu::data<T>(x), cpu::data<T>(out), begin, end);
    });
  });
  return out;
}

at::Tensor activation_backward(const at::Tensor& d_out, const at::Tensor& derivative, const cpu::Table& table) {
  const at::Tensor d = d_out.contiguous();
  at::Tensor dx = at::empty_like(d);
  cpu::by_type(d.scalar_type(), [&](auto type) {
    using T = decltype(type);
    at::parallel_for(0, d.numel(), kElementGrain, [&](int64_t begin, int64_t end) {
      typed(table, type).activation_backward(cpu::data<T>(d), cpu::data<T>(derivative), cpu::data<T>(dx), begin, end);
    });
  });
  return dx;
}

at::Tensor dropout_rows(const at::Tensor& x, const Dropout& dropout, const RowIds& rows, const cpu::Table& table) {
  const at::Tensor in = x.contiguous();
  at::Tensor out = at::empty_like(in);
  cpu::by_type(in.scalar_type(), [&](auto type) {
    using T = decltype(type);
    at::parallel_for(0, in.size(0), kRowGrain, [&](int64_t begin, int64_t end) {
      typed(table, type)
          .dropout(cpu::arguments(rows, in.size(1)), cpu::arguments(dropout), cpu::data<T>(in), cpu::data<T>(out), begin, end);
    });
  });
  return out;
}

void add_column_sums(const at::Tensor& x, const at::Tensor& sums, const cpu::Table& table) {
  cpu::by_type(x.scalar_type(), [&](auto type) {
    using T = decltype(type);
    at::parallel_for(0, x.size(1), kColumnGrain, [&](int64_t begin, int64_t end) {
      typed(table, type).add_column_sums(cpu::data<T>(x), x.size(0), x.stride(0), cpu::data<float>(sums), begin, end);
    });
  });
}

}  // namespace berth::train
