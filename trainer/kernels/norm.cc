#include "trainer/kernels/norm.h"

namespace berth::train {
namespace {

constexpr int64_t kRowGrain = 32, kColumnGrain = 64;

int64_t padded(int64_t columns) { return attention_pitch(columns) + 16; }

template <class T>
cpu::NormArgs<T> arguments(const NormState& state, const at::Tensor& gamma, const float* beta, double eps, const Dropout& dropout,
                           const RowIds& rows) {
  return {cpu::arguments(rows, gamma.size(0)),
          cpu::arguments(dropout),
          gamma.const_data_ptr<float>(),
          beta,
          static_cast<float>(eps),
          cpu::data<T>(state.normalized),
          cpu::data<float>(state.rstd)};
}

NormState make_state(int64_t rows, int64_t columns, at::ScalarType type) {
  return {at::empty({rows, columns}, type), at::empty({rows}, at::kFloat)};
}

// Runs part(begin, end, gamma sums, beta sums, scratch) over rows, one part a thread, and adds the parts' sums to the gradients
// in order: the same result whenever the number of threads is the same.
template <class Part>
void sum_parts(int64_t rows, int64_t columns, const at::Tensor& gamma_grad, const at::Tensor& beta_grad, const Part& part) {
  const int64_t parts = std::max<int64_t>(1, std::min<int64_t>(at::get_num_threads(), rows / kRowGrain)), width = padded(columns);
  const at::Tensor sums = at::zeros({parts, 2, width}, at::kFloat);
  at::parallel_for(0, parts, 1, [&](int64_t first, int64_t last) {
    for (int64_t p = first; p < last; ++p) {
      float* own = sums.data_ptr<float>() + p * 2 * width;
      part(rows * p / parts, rows * (p + 1) / parts, own, own + width, cpu::thread_scratch(width));
    }
  });
  for (int64_t p = 0; p < parts; ++p) {
    if (gamma_grad.defined()) gamma_grad.add_(sums[p][0].narrow(0, 0, columns));
    if (beta_grad.defined()) beta_grad.add_(sums[p][1].narrow(0, 0, columns));
  }
}

}  // namespace

at::Tensor add_norm_forward(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& gamma, const at::Tensor& beta,
                            double eps, const Dropout& dropout, const RowIds& rows, NormState& state, const cpu::Table& table) {
  const at::Tensor in = x.contiguous(), other = residual.contiguous();
  const int64_t n = in.size(0), columns = in.size(1);
  state = make_state(n, columns, in.scalar_type());
  at::Tensor out = at::empty_like(in);
  cpu::by_type(in.scalar_type(), [&](auto type) {
    using T = decltype(type);
    const auto args = arguments<T>(state, gamma, beta.const_data_ptr<float>(), eps, dropout, rows);
    at::parallel_for(0, n, kRowGrain, [&](int64_t begin, int64_t end) {
      typed(table, type)
          .add_norm_forward(args, cpu::data<T>(in), cpu::data<T>(other), cpu::data<T>(out), begin, end,
                            cpu::thread_scratch(padded(columns)));
    });
  });
  return out;
}

std::pair<at::Tensor, at::Tensor> add_norm_backward(const at::Tensor& d_out, const NormState& state, const at::Tensor& gamma,
                                                    const Dropout& dropout, const RowIds& rows, const at::Tensor& gamma_grad,
                                                    const at::Tensor& beta_grad, const cpu::Table& table) {
  const at::Tensor d = d_out.contiguous();
  const at::Tensor d_residual = at::empty_like(d), dx = dropout.on() ? at::empty_like(d) : d_residual;
  cpu::by_type(d.scalar_type(), [&](auto type) {
    using T = decltype(type);
    const auto args = arguments<T>(state, gamma, nullptr, 0, dropout, rows);
    sum_parts(d.size(0), d.size(1), gamma_grad, beta_grad,
              [&](int64_t begin, int64_t end, float* gammas, float* betas, float* scratch) {
                typed(table, type)
                    .add_norm_backward(args, cpu::data<T>(d), cpu::data<T>(dx), cpu::data<T>(d_residual), gammas, betas, begin,
                                       end, scratch);
              });
  });
  return {dx, d_residual};
}

at::Tensor embed_forward(const EmbeddingTables& tables, const at::Tensor& gamma, const at::Tensor& beta, double eps,
                         const Dropout& dropout, const RowIds& rows, at::ScalarType type, NormState& state,
                         const cpu::Table& table) {
  const int64_t n = tables.word_ids.size(0), columns = gamma.size(0);
  state = make_state(n, columns, type);
  at::Tensor out = at::empty({n, columns}, type);
  const cpu::EmbeddingArgs embeddings = {
      tables.words.const_data_ptr<float>(),          tables.positions.const_data_ptr<float>(),
      tables.types.const_data_ptr<float>(),          tables.word_ids.const_data_ptr<int32_t>(),
      tables.position_ids.const_data_ptr<int32_t>(), tables.type_ids.const_data_ptr<int32_t>()};
  cpu::by_type(type, [&](auto t) {
    using T = decltype(t);
    const auto args = arguments<T>(state, gamma, beta.const_data_ptr<float>(), eps, dropout, rows);
    at::parallel_for(0, n, kRowGrain, [&](int64_t begin, int64_t end) {
      typed(table, t).embed_forward(args, embeddings, cpu::data<T>(out), begin, end, cpu::thread_scratch(padded(columns)));
    });
  });
  return out;
}

at::Tensor embed_backward(const at::Tensor& d_out, const NormState& state, const at::Tensor& gamma, const Dropout& dropout,
                          const RowIds& rows, const at::Tensor& gamma_grad, const at::Tensor& beta_grad,
                          const cpu::Table& table) {
  const at::Tensor d = d_out.contiguous(), d_sum = at::empty(d.sizes(), at::kFloat);
  cpu::by_type(d.scalar_type(), [&](auto type) {
    using T = decltype(type);
    const auto args = arguments<T>(state, gamma, nullptr, 0, dropout, rows);
    sum_parts(
        d.size(0), d.size(1), gamma_grad, beta_grad,
        [&](int64_t begin, int64_t end, float* gammas, float* betas, float* scratch) {
          typed(table, type).embed_backward(args, cpu::data<T>(d), cpu::data<float>(d_sum), gammas, betas, begin, end, scratch);
        });
  });
  return d_sum;
}

void scatter_rows(const at::Tensor& d, const at::Tensor& ids, int64_t skipped, const at::Tensor& grad, const cpu::Table& table) {
  const int64_t columns = d.size(1);
  at::parallel_for(0, columns, kColumnGrain, [&](int64_t begin, int64_t end) {
    table.scatter_rows(d.const_data_ptr<float>(), ids.const_data_ptr<int32_t>(), d.size(0), columns,
                       static_cast<int32_t>(skipped), grad.data_ptr<float>(), begin, end);
  });
}

}  // namespace berth::train
