#include "trainer/kernels/cpu_kernels.h"

#include "data/check.h"
#include "trainer/kernels/kept.h"
#include "trainer/kernels/reference.h"

namespace berth::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kRowGrain = 32, kColumnGrain = 64, kElementGrain = 1 << 13;

// Where each sample's weights begin, and behind the last one.
std::vector<int64_t> weight_offsets(const Segments& segments) {
  const int32_t* ends = segments.cu_seqlens.const_data_ptr<int32_t>();
  std::vector<int64_t> offsets = {0};
  for (int64_t b = 0; b < segments.samples.size(0); ++b) {
    const int64_t tokens = ends[b + 1] - ends[b], queries = segments.first_query_only ? 1 : tokens;
    check_internal(tokens > 0 && tokens <= segments.max_seqlen, "a sample of ", tokens, " tokens where at most ",
                   segments.max_seqlen, " are due");
    offsets.push_back(offsets.back() + segments.heads * queries * attention_pitch(tokens));
  }
  return offsets;
}

template <class T>
cpu::AttentionArgs<T> attention_arguments(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Segments& segments,
                                          const Dropout& dropout, const std::vector<int64_t>& offsets,
                                          const at::Tensor& weights) {
  for (const at::Tensor* x : {&q, &k, &v})
    check_internal(x->dim() == 2 && x->stride(1) == 1 && x->size(1) % segments.heads == 0 && x->scalar_type() == q.scalar_type(),
                   "attention inputs must be rows of one type");
  return {cpu::data<T>(q),
          cpu::data<T>(k),
          cpu::data<T>(v),
          q.stride(0),
          k.stride(0),
          v.stride(0),
          segments.cu_seqlens.const_data_ptr<int32_t>(),
          segments.samples.const_data_ptr<int64_t>(),
          offsets.data(),
          segments.heads,
          q.size(1) / segments.heads,
          segments.first_query_only,
          arguments(dropout),
          cpu::data<T>(weights)};
}

template <class Function>
void for_each_pair(const Segments& segments, int64_t head_size, const Function& f) {
  const int64_t scratch = cpu::attention_scratch(segments.max_seqlen, head_size);
  at::parallel_for(0, segments.samples.size(0) * segments.heads, 1,
                   [&](int64_t begin, int64_t end) { f(begin, end, cpu::thread_scratch(scratch)); });
}

int64_t padded(int64_t columns) { return attention_pitch(columns) + 16; }

template <class T>
cpu::NormArgs<T> norm_arguments(const NormState& state, const at::Tensor& gamma, const float* beta, double eps,
                                const Dropout& dropout, const RowIds& rows) {
  return {
      arguments(rows, gamma.size(0)), arguments(dropout),          gamma.const_data_ptr<float>(), beta, static_cast<float>(eps),
      cpu::data<T>(state.normalized), cpu::data<float>(state.rstd)};
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

struct CrossEntropyCall {
  const cpu::Table* table;
  at::Tensor labels, weights;
  float mean_weight;
  int64_t ignored;
  float smoothing;
};

struct CrossEntropy : torch::autograd::Function<CrossEntropy> {
  // Calls f(table, arguments, first row, last row) for parts of the rows.
  template <class T, class Function>
  static void for_rows(const CrossEntropyCall& call, const at::Tensor& logits, const at::Tensor& of_rows, const Function& f) {
    const cpu::CrossEntropyArgs<T> args{cpu::data<T>(logits),
                                        call.labels.const_data_ptr<int64_t>(),
                                        call.weights.defined() ? call.weights.const_data_ptr<float>() : nullptr,
                                        logits.size(1),
                                        call.ignored,
                                        call.smoothing,
                                        call.mean_weight,
                                        cpu::data<float>(of_rows),
                                        cpu::data<float>(of_rows) + logits.size(0)};
    at::parallel_for(0, logits.size(0), std::max<int64_t>(1, kElementGrain / logits.size(1)),
                     [&](int64_t begin, int64_t end) { f(typed(*call.table, T()), args, begin, end); });
  }

  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& logits, const CrossEntropyCall& call) {
    const at::Tensor losses = at::empty({logits.size(0)}, at::kFloat), of_rows = at::empty({2, logits.size(0)}, at::kFloat);
    cpu::by_type(logits.scalar_type(), [&](auto type) {
      for_rows<decltype(type)>(call, logits, of_rows, [&](const auto& table, const auto& args, int64_t begin, int64_t end) {
        table.cross_entropy_forward(args, cpu::data<float>(losses), begin, end);
      });
    });
    ctx->save_for_backward({logits, of_rows});
    keep(ctx, call);
    return losses.sum(at::kDouble).to(at::kFloat);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor d_logits = at::empty_like(saved[0]);
    const auto d_loss = grads[0].item<float>();
    cpu::by_type(d_logits.scalar_type(), [&](auto type) {
      using T = decltype(type);
      for_rows<T>(kept<CrossEntropyCall>(ctx), saved[0], saved[1],
                  [&](const auto& table, const auto& args, int64_t begin, int64_t end) {
                    table.cross_entropy_backward(args, d_loss, cpu::data<T>(d_logits), begin, end);
                  });
    });
    return {d_logits, at::Tensor()};
  }
};

}  // namespace

at::Tensor CpuKernels::attention_forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Segments& segments,
                                         const Dropout& dropout, at::Tensor& weights) const {
  const std::vector<int64_t> offsets = weight_offsets(segments);
  weights = at::empty({offsets.back()}, q.options());
  at::Tensor out = at::empty(q.sizes(), q.options());
  cpu::by_type(q.scalar_type(), [&](auto type) {
    using T = decltype(type);
    const auto args = attention_arguments<T>(q, k, v, segments, dropout, offsets, weights);
    for_each_pair(segments, args.head_size, [&](int64_t begin, int64_t end, float* scratch) {
      typed(table_, type).attention_forward(args, cpu::data<T>(out), out.stride(0), begin, end, scratch);
    });
  });
  return out;
}

void CpuKernels::attention_backward(const at::Tensor& d_out, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                    const at::Tensor& /*out*/, const at::Tensor& weights, const Segments& segments,
                                    const Dropout& dropout, const at::Tensor& dq, const at::Tensor& dk,
                                    const at::Tensor& dv) const {
  const std::vector<int64_t> offsets = weight_offsets(segments);
  const at::Tensor d = d_out.contiguous();
  cpu::by_type(q.scalar_type(), [&](auto type) {
    using T = decltype(type);
    const auto args = attention_arguments<T>(q, k, v, segments, dropout, offsets, weights);
    const cpu::AttentionGradients<T> grads = {cpu::data<T>(dq), cpu::data<T>(dk), cpu::data<T>(dv),
                                              dq.stride(0),     dk.stride(0),     dv.stride(0)};
    for_each_pair(segments, args.head_size, [&](int64_t begin, int64_t end, float* scratch) {
      typed(table_, type).attention_backward(args, cpu::data<T>(d), grads, begin, end, scratch);
    });
  });
}

at::Tensor CpuKernels::add_norm_forward(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& gamma,
                                        const at::Tensor& beta, double eps, const Dropout& dropout, const RowIds& rows,
                                        NormState& state) const {
  const at::Tensor in = x.contiguous(), other = residual.contiguous();
  const int64_t n = in.size(0), columns = in.size(1);
  state = make_state(n, columns, in.scalar_type());
  at::Tensor out = at::empty_like(in);
  cpu::by_type(in.scalar_type(), [&](auto type) {
    using T = decltype(type);
    const auto args = norm_arguments<T>(state, gamma, beta.const_data_ptr<float>(), eps, dropout, rows);
    at::parallel_for(0, n, kRowGrain, [&](int64_t begin, int64_t end) {
      typed(table_, type)
          .add_norm_forward(args, cpu::data<T>(in), cpu::data<T>(other), cpu::data<T>(out), begin, end,
                            cpu::thread_scratch(padded(columns)));
    });
  });
  return out;
}

std::pair<at::Tensor, at::Tensor> CpuKernels::add_norm_backward(const at::Tensor& d_out, const NormState& state,
                                                                const at::Tensor& gamma, const Dropout& dropout,
                                                                const RowIds& rows, const at::Tensor& gamma_grad,
                                                                const at::Tensor& beta_grad, const at::Tensor& bias_grad) const {
  const at::Tensor d = d_out.contiguous();
  const at::Tensor d_residual = at::empty_like(d), dx = dropout.on() ? at::empty_like(d) : d_residual;
  cpu::by_type(d.scalar_type(), [&](auto type) {
    using T = decltype(type);
    const auto args = norm_arguments<T>(state, gamma, nullptr, 0, dropout, rows);
    sum_parts(d.size(0), d.size(1), gamma_grad, beta_grad,
              [&](int64_t begin, int64_t end, float* gammas, float* betas, float* scratch) {
                typed(table_, type)
                    .add_norm_backward(args, cpu::data<T>(d), cpu::data<T>(dx), cpu::data<T>(d_residual), gammas, betas, begin,
                                       end, scratch);
              });
  });
  if (bias_grad.defined()) add_column_sums(dx, bias_grad);
  return {dx, d_residual};
}

at::Tensor CpuKernels::embed_forward(const EmbeddingTables& tables, const at::Tensor& gamma, const at::Tensor& beta, double eps,
                                     const Dropout& dropout, const RowIds& rows, at::ScalarType type, NormState& state) const {
  const int64_t n = tables.word_rows.ids.size(0), columns = gamma.size(0);
  state = make_state(n, columns, type);
  at::Tensor out = at::empty({n, columns}, type);
  const cpu::EmbeddingArgs embeddings = {tables.words.const_data_ptr<float>(),
                                         tables.positions.const_data_ptr<float>(),
                                         tables.types.defined() ? tables.types.const_data_ptr<float>() : nullptr,
                                         tables.word_rows.ids.const_data_ptr<int32_t>(),
                                         tables.position_rows.ids.const_data_ptr<int32_t>(),
                                         tables.type_rows.ids.const_data_ptr<int32_t>()};
  cpu::by_type(type, [&](auto t) {
    using T = decltype(t);
    const auto args = norm_arguments<T>(state, gamma, beta.const_data_ptr<float>(), eps, dropout, rows);
    at::parallel_for(0, n, kRowGrain, [&](int64_t begin, int64_t end) {
      typed(table_, t).embed_forward(args, embeddings, cpu::data<T>(out), begin, end, cpu::thread_scratch(padded(columns)));
    });
  });
  return out;
}

at::Tensor CpuKernels::embed_backward(const at::Tensor& d_out, const NormState& state, const at::Tensor& gamma,
                                      const Dropout& dropout, const RowIds& rows, const at::Tensor& gamma_grad,
                                      const at::Tensor& beta_grad) const {
  const at::Tensor d = d_out.contiguous(), d_sum = at::empty(d.sizes(), at::kFloat);
  cpu::by_type(d.scalar_type(), [&](auto type) {
    using T = decltype(type);
    const auto args = norm_arguments<T>(state, gamma, nullptr, 0, dropout, rows);
    sum_parts(
        d.size(0), d.size(1), gamma_grad, beta_grad,
        [&](int64_t begin, int64_t end, float* gammas, float* betas, float* scratch) {
          typed(table_, type).embed_backward(args, cpu::data<T>(d), cpu::data<float>(d_sum), gammas, betas, begin, end, scratch);
        });
  });
  return d_sum;
}

void CpuKernels::add_rows(const at::Tensor& d, const TableRows& rows, int64_t skipped, const at::Tensor& grad) const {
  const int64_t columns = d.size(1);
  at::parallel_for(0, columns, kColumnGrain, [&](int64_t begin, int64_t end) {
    table_.scatter_rows(d.const_data_ptr<float>(), rows.ids.const_data_ptr<int32_t>(), d.size(0), columns,
                        static_cast<int32_t>(skipped), grad.data_ptr<float>(), begin, end);
  });
}

at::Tensor CpuKernels::activation_forward(const at::Tensor& x, Activation activation) const {
  at::Tensor out = at::empty_like(x);
  cpu::by_type(x.scalar_type(), [&](auto type) {
    using T = decltype(type);
    at::parallel_for(0, x.numel(), kElementGrain, [&](int64_t begin, int64_t end) {
      typed(table_, type).activation_forward(static_cast<int>(activation), cpu::data<T>(x), cpu::data<T>(out), begin, end);
    });
  });
  return out;
}

at::Tensor CpuKernels::activation_backward(const at::Tensor& d_out, const at::Tensor& derivative, Activation /*activation*/,
                                           const at::Tensor& bias_grad) const {
  const at::Tensor d = d_out.contiguous();
  at::Tensor dx = at::empty_like(d);
  cpu::by_type(d.scalar_type(), [&](auto type) {
    using T = decltype(type);
    at::parallel_for(0, d.numel(), kElementGrain, [&](int64_t begin, int64_t end) {
      typed(table_, type).activation_backward(cpu::data<T>(d), cpu::data<T>(derivative), cpu::data<T>(dx), begin, end);
    });
  });
  if (bias_grad.defined()) add_column_sums(dx, bias_grad);
  return dx;
}

at::Tensor CpuKernels::dropout_rows(const at::Tensor& x, const Dropout& dropout, const RowIds& rows) const {
  const at::Tensor in = x.contiguous();
  at::Tensor out = at::empty_like(in);
  cpu::by_type(in.scalar_type(), [&](auto type) {
    using T = decltype(type);
    at::parallel_for(0, in.size(0), kRowGrain, [&](int64_t begin, int64_t end) {
      typed(table_, type)
          .dropout(arguments(rows, in.size(1)), arguments(dropout), cpu::data<T>(in), cpu::data<T>(out), begin, end);
    });
  });
  return out;
}

void CpuKernels::add_column_sums(const at::Tensor& x, const at::Tensor& sums) const {
  cpu::by_type(x.scalar_type(), [&](auto type) {
    using T = decltype(type);
    at::parallel_for(0, x.size(1), kColumnGrain, [&](int64_t begin, int64_t end) {
      typed(table_, type).add_column_sums(cpu::data<T>(x), x.size(0), x.stride(0), cpu::data<float>(sums), begin, end);
    });
  });
}

at::Tensor CpuKernels::linear_forward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) const {
  if (by_brgemm(x, weight)) return products::linear_forward(table_, x, weight, bias);
  if (!by_fp32(x.scalar_type())) return Kernels::linear_forward(x, weight, bias);
  return Kernels::linear_forward(x.to(at::kFloat), weight, bias).to(at::kBFloat16);
}

void CpuKernels::linear_backward_input(const at::Tensor& dy, const at::Tensor& weight, const at::Tensor& dx,
                                       bool accumulate) const {
  if (by_brgemm(dy, weight)) return products::linear_backward_input(table_, dy, weight, dx, accumulate);
  if (!by_fp32(dy.scalar_type())) return Kernels::linear_backward_input(dy, weight, dx, accumulate);
  const at::Tensor product = at::mm(dy.to(at::kFloat), weight);
  if (accumulate)
    dx.add_(product);
  else
    dx.copy_(product);
}

void CpuKernels::linear_backward_weight(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& grad,
                                        bool accumulate) const {
  if (by_brgemm(dy, grad)) return products::linear_backward_weight(dy, x, grad, accumulate);
  if (!by_fp32(dy.scalar_type())) return Kernels::linear_backward_weight(dy, x, grad, accumulate);
  Kernels::linear_backward_weight(dy.to(at::kFloat), x.to(at::kFloat), grad, accumulate);
}

at::Tensor CpuKernels::pool_tokens(const at::Tensor& x, const at::Tensor& cu_seqlens, Pooling pooling) const {
  return pool_tokens_reference(x, cu_seqlens, pooling);
}

at::Tensor CpuKernels::cross_entropy_sum(const at::Tensor& logits, const at::Tensor& labels, const at::Tensor& weights,
                                         int64_t ignored, double smoothing) const {
  const bool weighted = weights.defined();
  check_internal(!weighted || (weights.sizes().equals({logits.size(1)}) && weights.scalar_type() == at::kFloat),
                 "weights of other classes than the logits'");
  return CrossEntropy::apply(
      logits.contiguous(),
      CrossEntropyCall{&table_, labels.contiguous(), weighted ? weights.contiguous() : weights,
                       weighted && smoothing > 0 ? weights.mean().item<float>() : 1.f, ignored, static_cast<float>(smoothing)});
}

}  // namespace berth::train
