#include "trainer/kernels/gpu/kernels.h"

#include <cmath>
#include <optional>

#include "data/check.h"
#include "trainer/kernels/arguments.h"
#include "trainer/kernels/cuda/attention.h"
#include "trainer/kernels/cuda/kernels.h"
#include "trainer/kernels/kept.h"

namespace berth::train::cuda {
namespace {

using kernels::Bf16;
using kernels::Fp16;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <class T>
T* data(const at::Tensor& tensor) {
  return static_cast<T*>(tensor.mutable_data_ptr());
}
// Of what may be absent: null.
template <class T>
T* data_if(const at::Tensor& tensor) {
  return tensor.defined() ? data<T>(tensor) : nullptr;
}

// f(T{}) with the T that `type` is kept in.
template <class Function>
auto by_type(at::ScalarType type, const Function& f) {
  check_internal(type == at::kFloat || type == at::kBFloat16 || type == at::kHalf, "no CUDA kernels for ", c10::toString(type));
  return type == at::kFloat ? f(float{}) : type == at::kBFloat16 ? f(Bf16{}) : f(Fp16{});
}

at::Tensor floats(int64_t count, const at::Tensor& like) { return at::empty({count}, like.options().dtype(at::kFloat)); }

NormState make_state(int64_t rows, int64_t columns, const at::TensorOptions& options) {
  return {at::empty({rows, columns}, options), at::empty({rows}, options.dtype(at::kFloat))};
}

template <class T>
kernels::NormArgs<T> norm_arguments(const NormState& state, const at::Tensor& gamma, const float* beta, double eps,
                                    const Dropout& dropout, const RowIds& rows) {
  return {arguments(rows, gamma.size(0)), arguments(dropout),        gamma.const_data_ptr<float>(), beta,
          static_cast<float>(eps),        data<T>(state.normalized), data<float>(state.rstd)};
}

// Attention as its kernels want it: heads of 32 or 64 elements, in rows that begin on 16 bytes. Other heads are padded with zeros;
// since the kernels divide scores by the square root of the padded size, queries are scaled up by what that is too much.
struct Heads {
  Heads(const at::Tensor& k, int64_t number) : count(number), size(k.size(1) / number), padded(size <= 32 ? 32 : 64) {
    check(size <= 64, "attention heads of ", size, " elements: berth's GPU kernels take up to 64 (--device cpu takes any)");
  }
  double query_scale() const { return std::sqrt(static_cast<double>(padded) / static_cast<double>(size)); }

  // x [N, count * size], rows may be strided -> [N, count * padded].
  at::Tensor fit(const at::Tensor& x) const {
    const bool fits = size == padded && x.stride(1) == 1 && x.stride(0) * x.element_size() % 16 == 0 &&
                      reinterpret_cast<uintptr_t>(x.const_data_ptr()) % 16 == 0;
    return fits ? x : pad(x);
  }
  at::Tensor fit_query(const at::Tensor& q) const { return size == padded ? fit(q) : pad(q * query_scale()); }

  int64_t count, size, padded;

 private:
  at::Tensor pad(const at::Tensor& x) const {
    return at::constant_pad_nd(x.unflatten(1, {count, size}), {0, padded - size})
        .reshape({x.size(0), count * padded})
        .contiguous();
  }
};

// A gradient that a kernel writes: the caller's memory if that fits, else a piece that is copied there.
class Written {
 public:
  Written(const Heads& heads, const at::Tensor& target) : heads_(heads), target_(target) {
    own_ = heads.fit(target);
    if (!own_.is_same(target)) own_ = at::empty_like(own_);
  }
  const at::Tensor& tensor() const { return own_; }
  void deliver(double scale) const {
    if (own_.is_same(target_)) return;
    const at::Tensor wanted = own_.unflatten(1, {heads_.count, heads_.padded}).narrow(2, 0, heads_.size).reshape(target_.sizes());
    target_.copy_(scale == 1 ? wanted : wanted * scale);
  }

 private:
  const Heads& heads_;
  at::Tensor target_, own_;
};

AttentionShape shape_of(const Heads& heads, const at::Tensor& k, const Segments& segments, const Dropout& dropout) {
  return {.cu_seqlens = segments.cu_seqlens.const_data_ptr<int32_t>(),
          .samples = segments.samples.const_data_ptr<int64_t>(),
          .batch = segments.samples.size(0),
          .tokens = k.size(0),
          .max_seqlen = segments.max_seqlen,
          .heads = heads.count,
          .head_size = heads.padded,
          .first_query_only = segments.first_query_only,
          .dropout = arguments(dropout)};
}

// What backward needs in one tensor: the mask's words, then the logarithms of sums.
struct AttentionKept {
  AttentionKept(const AttentionShape& shape, const at::Tensor& tensor)
      : mask(attention_mask_size(shape) ? data<uint64_t>(tensor) : nullptr),
        lse(data<float>(tensor) + 2 * attention_mask_size(shape)) {}
  static int64_t floats(const AttentionShape& shape) { return 2 * attention_mask_size(shape) + attention_lse_size(shape); }
  uint64_t* mask;
  float* lse;
};

struct CrossEntropy : torch::autograd::Function<CrossEntropy> {
  template <class T>
  static CrossEntropyArgs<T> call(const at::Tensor& logits, const at::Tensor& labels, const at::Tensor& weights, double smoothing,
                                  const at::Tensor& lse) {
    return {data<T>(logits),  logits.stride(0),       labels.const_data_ptr<int64_t>(),
            logits.size(0),   logits.size(1),         static_cast<float>(smoothing),
            data<float>(lse), data_if<float>(weights)};
  }

  // `maybe_weights`: no input of a node may be undefined.
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& logits, const at::Tensor& labels,
                            const std::optional<at::Tensor>& maybe_weights, double smoothing, int64_t stream) {
    const at::Tensor weights = maybe_weights.value_or(at::Tensor());
    const at::Tensor lse = floats(logits.size(0), logits), workspace = at::empty_like(lse),
                     sum = at::empty(at::IntArrayRef(), lse.options());
    by_type(logits.scalar_type(), [&](auto type) {
      cross_entropy_forward(call<decltype(type)>(logits, labels, weights, smoothing, lse), data<float>(sum),
                            data<float>(workspace), reinterpret_cast<Stream>(stream));
    });
    ctx->save_for_backward({logits, labels, weights, lse});
    ctx->saved_data["smoothing"] = smoothing;
    ctx->saved_data["stream"] = stream;
    return sum;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor d_sum = grads[0].contiguous(), d_logits = at::empty_like(saved[0]);
    by_type(d_logits.scalar_type(), [&](auto type) {
      using T = decltype(type);
      cross_entropy_backward(call<T>(saved[0], saved[1], saved[2], ctx->saved_data["smoothing"].toDouble(), saved[3]),
                             data<float>(d_sum), data<T>(d_logits), reinterpret_cast<Stream>(ctx->saved_data["stream"].toInt()));
    });
    variable_list gradients(5);
    gradients[0] = d_logits;
    return gradients;
  }
};

struct PoolTokens : torch::autograd::Function<PoolTokens> {
  static PoolArgs call(const at::Tensor& cu_seqlens, const at::Tensor& chosen, int64_t columns, int64_t pooling) {
    return {static_cast<Pooling>(pooling), cu_seqlens.const_data_ptr<int32_t>(), cu_seqlens.size(0) - 1, columns,
            data_if<int32_t>(chosen)};
  }

  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& cu_seqlens, int64_t pooling,
                            int64_t stream) {
    const at::Tensor out = at::empty({cu_seqlens.size(0) - 1, x.size(1)}, x.options());
    const bool chooses = static_cast<Pooling>(pooling) == Pooling::kMax;
    const at::Tensor chosen = chooses ? at::empty(out.sizes(), cu_seqlens.options()) : at::Tensor();
    by_type(x.scalar_type(), [&](auto type) {
      using T = decltype(type);
      pool_forward(call(cu_seqlens, chosen, x.size(1), pooling), data<T>(x), data<T>(out), reinterpret_cast<Stream>(stream));
    });
    ctx->save_for_backward({cu_seqlens, chosen});
    for (const auto& [name, value] : {std::pair("rows", x.size(0)), {"pooling", pooling}, {"stream", stream}})
      ctx->saved_data[name] = value;
    return out;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor d_out = grads[0].contiguous(),
                     dx = at::empty({ctx->saved_data["rows"].toInt(), d_out.size(1)}, d_out.options());
    by_type(d_out.scalar_type(), [&](auto type) {
      using T = decltype(type);
      pool_backward(call(saved[0], saved[1], d_out.size(1), ctx->saved_data["pooling"].toInt()), data<T>(d_out), data<T>(dx),
                    reinterpret_cast<Stream>(ctx->saved_data["stream"].toInt()));
    });
    return {dx, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor CudaKernels::attention_forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Segments& segments,
                                          const Dropout& dropout, at::Tensor& kept) const {
  const Heads heads(k, segments.heads);
  const at::Tensor fit_q = heads.fit_query(q), fit_k = heads.fit(k), fit_v = heads.fit(v);
  const AttentionShape shape = shape_of(heads, k, segments, dropout);
  const at::Tensor out = at::empty({q.size(0), heads.count * heads.padded}, q.options());
  kept = floats(AttentionKept::floats(shape), q);
  const AttentionKept state(shape, kept);
  by_type(q.scalar_type(), [&](auto type) {
    using T = decltype(type);
    cuda::attention_forward<T>(
        shape, {data<T>(fit_q), data<T>(fit_k), data<T>(fit_v), fit_q.stride(0), fit_k.stride(0), fit_v.stride(0)}, data<T>(out),
        out.stride(0), state.lse, state.mask, stream(q));
  });
  if (heads.size == heads.padded) return out;
  return out.unflatten(1, {heads.count, heads.padded}).narrow(2, 0, heads.size).reshape({q.size(0), heads.count * heads.size});
}

void CudaKernels::attention_backward(const at::Tensor& d_out, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                     const at::Tensor& out, const at::Tensor& kept, const Segments& segments,
                                     const Dropout& dropout, const at::Tensor& dq, const at::Tensor& dk,
                                     const at::Tensor& dv) const {
  const Heads heads(k, segments.heads);
  const at::Tensor fit_q = heads.fit_query(q), fit_k = heads.fit(k), fit_v = heads.fit(v), fit_out = heads.fit(out),
                   fit_d = heads.fit(d_out);
  const Written to_q(heads, dq), to_k(heads, dk), to_v(heads, dv);
  const AttentionShape shape = shape_of(heads, k, segments, dropout);
  const AttentionKept state(shape, kept);
  const at::Tensor delta = floats(attention_lse_size(shape), q);
  by_type(q.scalar_type(), [&](auto type) {
    using T = decltype(type);
    cuda::attention_backward<T>(
        shape, {data<T>(fit_q), data<T>(fit_k), data<T>(fit_v), fit_q.stride(0), fit_k.stride(0), fit_v.stride(0)},
        data<T>(fit_d), fit_d.stride(0), data<T>(fit_out), fit_out.stride(0), state.lse, state.mask,
        {data<T>(to_q.tensor()), data<T>(to_k.tensor()), data<T>(to_v.tensor()), to_q.tensor().stride(0), to_k.tensor().stride(0),
         to_v.tensor().stride(0)},
        data<float>(delta), stream(q));
  });
  to_q.deliver(heads.query_scale());
  to_k.deliver(1);
  to_v.deliver(1);
}

at::Tensor CudaKernels::add_norm_forward(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& gamma,
                                         const at::Tensor& beta, double eps, const Dropout& dropout, const RowIds& rows,
                                         NormState& state) const {
  const at::Tensor in = x.contiguous(), other = residual.contiguous();
  state = make_state(in.size(0), in.size(1), in.options());
  at::Tensor out = at::empty_like(in);
  by_type(in.scalar_type(), [&](auto type) {
    using T = decltype(type);
    cuda::add_norm_forward(norm_arguments<T>(state, gamma, beta.const_data_ptr<float>(), eps, dropout, rows), data<T>(in),
                           data<T>(other), data<T>(out), in.size(0), stream(in));
  });
  return out;
}

std::pair<at::Tensor, at::Tensor> CudaKernels::add_norm_backward(const at::Tensor& d_out, const NormState& state,
                                                                 const at::Tensor& gamma, const Dropout& dropout,
                                                                 const RowIds& rows, const at::Tensor& gamma_grad,
                                                                 const at::Tensor& beta_grad, const at::Tensor& bias_grad) const {
  const at::Tensor d = d_out.contiguous();
  const at::Tensor d_residual = at::empty_like(d), dx = dropout.on() ? at::empty_like(d) : d_residual;
  const at::Tensor workspace = floats(add_norm_backward_workspace(d.size(0), d.size(1)), d);
  by_type(d.scalar_type(), [&](auto type) {
    using T = decltype(type);
    cuda::add_norm_backward(norm_arguments<T>(state, gamma, nullptr, 0, dropout, rows), data<T>(d),
                            dropout.on() ? data<T>(dx) : nullptr, data<T>(d_residual), data_if<float>(gamma_grad),
                            data_if<float>(beta_grad), data_if<float>(bias_grad), d.size(0), data<float>(workspace), stream(d));
  });
  return {dx, d_residual};
}

at::Tensor CudaKernels::embed_forward(const EmbeddingTables& tables, const at::Tensor& gamma, const at::Tensor& beta, double eps,
                                      const Dropout& dropout, const RowIds& rows, at::ScalarType type, NormState& state) const {
  const int64_t n = tables.word_rows.ids.size(0), columns = gamma.size(0);
  const at::TensorOptions options = gamma.options().dtype(type).requires_grad(false);
  state = make_state(n, columns, options);
  at::Tensor out = at::empty({n, columns}, options);
  const kernels::EmbeddingArgs embeddings = {tables.words.const_data_ptr<float>(),
                                             tables.positions.const_data_ptr<float>(),
                                             tables.types.defined() ? tables.types.const_data_ptr<float>() : nullptr,
                                             tables.word_rows.ids.const_data_ptr<int32_t>(),
                                             tables.position_rows.ids.const_data_ptr<int32_t>(),
                                             tables.type_rows.ids.const_data_ptr<int32_t>()};
  by_type(type, [&](auto t) {
    using T = decltype(t);
    cuda::embed_forward(norm_arguments<T>(state, gamma, beta.const_data_ptr<float>(), eps, dropout, rows), embeddings,
                        data<T>(out), n, stream(out));
  });
  return out;
}

at::Tensor CudaKernels::embed_backward(const at::Tensor& d_out, const NormState& state, const at::Tensor& gamma,
                                       const Dropout& dropout, const RowIds& rows, const at::Tensor& gamma_grad,
                                       const at::Tensor& beta_grad) const {
  const at::Tensor d = d_out.contiguous(), d_sum = at::empty(d.sizes(), d.options().dtype(at::kFloat));
  const at::Tensor workspace = floats(embed_backward_workspace(d.size(0), d.size(1)), d);
  by_type(d.scalar_type(), [&](auto type) {
    using T = decltype(type);
    cuda::embed_backward(norm_arguments<T>(state, gamma, nullptr, 0, dropout, rows), data<T>(d), data<float>(d_sum),
                         data_if<float>(gamma_grad), data_if<float>(beta_grad), d.size(0), data<float>(workspace), stream(d));
  });
  return d_sum;
}

void CudaKernels::add_rows(const at::Tensor& d, const TableRows& rows, int64_t skipped, const at::Tensor& grad) const {
  check_internal(rows.order.defined(), "rows to be added up by id, without their order");
  const at::Tensor workspace = floats(scatter_rows_workspace(d.size(0), d.size(1)), d);
  scatter_rows(d.const_data_ptr<float>(), rows.ids.const_data_ptr<int32_t>(), rows.order.const_data_ptr<int32_t>(), d.size(0),
               d.size(1), static_cast<int32_t>(skipped), data<float>(grad), data<float>(workspace), stream(d));
}

at::Tensor CudaKernels::activation_forward(const at::Tensor& x, Activation activation) const {
  at::Tensor out = at::empty_like(x);
  by_type(x.scalar_type(), [&](auto type) {
    using T = decltype(type);
    cuda::activation_forward(activation, data<T>(x), data<T>(out), x.numel(), stream(x));
  });
  return out;
}

at::Tensor CudaKernels::activation_backward(const at::Tensor& d_out, const at::Tensor& x, Activation activation,
                                            const at::Tensor& bias_grad) const {
  const at::Tensor d = d_out.contiguous();
  at::Tensor dx = at::empty_like(d);
  const int64_t columns = d.size(-1), rows = d.numel() / columns;
  const at::Tensor workspace = floats(activation_backward_workspace(rows, columns), d);
  by_type(d.scalar_type(), [&](auto type) {
    using T = decltype(type);
    cuda::activation_backward(activation, data<T>(d), data<T>(x), data<T>(dx), data_if<float>(bias_grad), rows, columns,
                              data<float>(workspace), stream(d));
  });
  return dx;
}

at::Tensor CudaKernels::dropout_rows(const at::Tensor& x, const Dropout& dropout, const RowIds& rows) const {
  const at::Tensor in = x.contiguous();
  at::Tensor out = at::empty_like(in);
  by_type(in.scalar_type(), [&](auto type) {
    using T = decltype(type);
    cuda::dropout_rows(arguments(rows, in.size(1)), arguments(dropout), data<T>(in), data<T>(out), in.size(0), stream(in));
  });
  return out;
}

void CudaKernels::add_column_sums(const at::Tensor& x, const at::Tensor& sums) const {
  const at::Tensor workspace = floats(add_column_sums_workspace(x.size(0), x.size(1)), sums);
  by_type(x.scalar_type(), [&](auto type) {
    using T = decltype(type);
    cuda::add_column_sums(data<T>(x), x.size(0), x.size(1), x.stride(0), data<float>(sums), data<float>(workspace), stream(x));
  });
}

at::Tensor CudaKernels::pool_tokens(const at::Tensor& x, const at::Tensor& cu_seqlens, Pooling pooling) const {
  return PoolTokens::apply(x.contiguous(), cu_seqlens, static_cast<int64_t>(pooling), reinterpret_cast<int64_t>(stream(x)));
}

at::Tensor CudaKernels::cross_entropy_sum(const at::Tensor& logits, const at::Tensor& labels, const at::Tensor& weights,
                                          int64_t ignored, double smoothing) const {
  check_internal(ignored == kIgnoreLabel, "cross entropy that ignores ", ignored);
  check_internal(!weights.defined() || (weights.sizes().equals({logits.size(1)}) && weights.scalar_type() == at::kFloat),
                 "weights of other classes than the logits'");
  return CrossEntropy::apply(logits.contiguous(), labels.contiguous(), weights.defined() ? std::optional(weights) : std::nullopt,
                             smoothing, reinterpret_cast<int64_t>(stream(logits)));
}

}  // namespace berth::train::cuda
