#include "trainer/kernels/reference.h"

namespace berth::train {

at::Tensor attention_reference(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Segments& segments,
                               const Dropout& dropout) {
  const int64_t heads = segments.heads, hidden = k.size(1), size = hidden / heads, batch = segments.samples.size(0);
  const int64_t width = segments.max_seqlen, query_width = segments.first_query_only ? 1 : width;
  const at::Tensor ends = segments.cu_seqlens.to(at::kLong);
  const at::Tensor lengths = ends.slice(0, 1) - ends.slice(0, 0, -1);
  const at::Tensor places = padded_places(lengths, width, k.size(0));
  const at::Tensor query_places = segments.first_query_only ? at::arange(batch, lengths.options()) : places;

  const auto pad = [&](const at::Tensor& rows, const at::Tensor& where, int64_t to) {  // [rows, H] -> [B, heads, to, D]
    const at::Tensor grid = at::zeros({batch * to, hidden}, rows.options()).index_copy(0, where, rows);
    return grid.view({batch, to, heads, size}).transpose(1, 2);
  };
  const at::Tensor padded_q = pad(q, query_places, query_width), padded_k = pad(k, places, width),
                   padded_v = pad(v, places, width);
  const at::Tensor absent = at::arange(width, lengths.options()).unsqueeze(0).ge(lengths.unsqueeze(1)).view({batch, 1, 1, width});
  at::Tensor scores = at::matmul(padded_q, padded_k.transpose(2, 3)).to(at::kFloat) / std::sqrt(static_cast<double>(size));
  at::Tensor weights = at::softmax(scores.masked_fill(absent, -std::numeric_limits<float>::infinity()), -1);
  if (dropout.on()) weights = weights * attention_multiplier(dropout, segments.samples, lengths, heads, query_width, width);
  const at::Tensor context = at::matmul(weights.to(v.scalar_type()), padded_v);
  return context.transpose(1, 2).reshape({batch * query_width, hidden}).index_select(0, query_places);
}

at::Tensor add_norm_reference(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& gamma, const at::Tensor& beta,
                              double eps, const Dropout& dropout, const RowIds& rows) {
  at::Tensor sum = x.to(at::kFloat);
  if (dropout.on()) sum = sum * hidden_multiplier(dropout, rows, x.size(1));
  sum = sum + residual.to(at::kFloat);
  return at::layer_norm(sum, {x.size(1)}, gamma, beta, eps).to(x.scalar_type());
}

at::Tensor norm_reference(const at::Tensor& x, const at::Tensor& gamma, const at::Tensor& beta, double eps,
                          const Dropout& dropout, const RowIds& rows) {
  return dropout_reference(at::layer_norm(x.to(at::kFloat), {x.size(1)}, gamma, beta, eps), dropout, rows).to(x.scalar_type());
}

at::Tensor activation_reference(const at::Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::kGelu:
      return at::gelu(x);
    case Activation::kGeluNew:
      return at::gelu(x, "tanh");
    case Activation::kRelu:
      return at::relu(x);
    case Activation::kTanh:
      return at::tanh(x);
  }
  return x;
}

at::Tensor pool_tokens_reference(const at::Tensor& x, const at::Tensor& cu_seqlens, Pooling pooling) {
  const int32_t* ends = cu_seqlens.const_data_ptr<int32_t>();
  std::vector<int64_t> lengths;
  for (int64_t b = 0; b + 1 < cu_seqlens.size(0); ++b) lengths.push_back(ends[b + 1] - ends[b]);
  std::vector<at::Tensor> rows = x.to(at::kFloat).split_with_sizes(lengths);
  for (at::Tensor& row : rows) row = pooling == Pooling::kMean ? row.mean(0) : std::get<0>(row.max(0));
  return at::stack(rows).to(x.scalar_type());
}

at::Tensor cross_entropy_sum_reference(const at::Tensor& logits, const at::Tensor& labels, const at::Tensor& weights,
                                       int64_t ignored, double smoothing) {
  return at::cross_entropy_loss(logits.to(at::kFloat), labels, weights, at::Reduction::Sum, ignored, smoothing);
}

at::Tensor dropout_reference(const at::Tensor& x, const Dropout& dropout, const RowIds& rows) {
  if (!dropout.on()) return x;
  return (x.to(at::kFloat) * hidden_multiplier(dropout, rows, x.size(1))).to(x.scalar_type());
}

}  // namespace berth::train
