#include "trainer/kernels/attention.h"

#include "data/check.h"

namespace berth::train {
namespace {

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
cpu::AttentionArgs<T> arguments(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Segments& segments,
                                const Dropout& dropout, const std::vector<int64_t>& offsets, const at::Tensor& weights) {
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
          cpu::arguments(dropout),
          cpu::data<T>(weights)};
}

template <class Function>
void for_each_pair(const Segments& segments, int64_t head_size, const Function& f) {
  const int64_t scratch = cpu::attention_scratch(segments.max_seqlen, head_size);
  at::parallel_for(0, segments.samples.size(0) * segments.heads, 1,
                   [&](int64_t begin, int64_t end) { f(begin, end, cpu::thread_scratch(scratch)); });
}

}  // namespace

at::Tensor attention_forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Segments& segments,
                             const Dropout& dropout, at::Tensor& weights, const cpu::Table& table) {
  const std::vector<int64_t> offsets = weight_offsets(segments);
  weights = at::empty({offsets.back()}, q.options());
  at::Tensor out = at::empty(q.sizes(), q.options());
  cpu::by_type(q.scalar_type(), [&](auto type) {
    using T = decltype(type);
    const auto args = arguments<T>(q, k, v, segments, dropout, offsets, weights);
    for_each_pair(segments, args.head_size, [&](int64_t begin, int64_t end, float* scratch) {
      typed(table, type).attention_forward(args, cpu::data<T>(out), out.stride(0), begin, end, scratch);
    });
  });
  return out;
}

AttentionGradients attention_backward(const at::Tensor& d_out, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                      const at::Tensor& weights, const Segments& segments, const Dropout& dropout,
                                      const cpu::Table& table) {
  const std::vector<int64_t> offsets = weight_offsets(segments);
  const at::Tensor d = d_out.contiguous();
  const AttentionGradients grads = {at::empty(q.sizes(), q.options()), at::empty(k.sizes(), q.options()),
                                    at::empty(v.sizes(), q.options())};
  cpu::by_type(q.scalar_type(), [&](auto type) {
    using T = decltype(type);
    const auto args = arguments<T>(q, k, v, segments, dropout, offsets, weights);
    for_each_pair(segments, args.head_size, [&](int64_t begin, int64_t end, float* scratch) {
      typed(table, type)
          .attention_backward(args, cpu::data<T>(d), cpu::data<T>(grads.q), cpu::data<T>(grads.k), cpu::data<T>(grads.v), begin,
                              end, scratch);
    });
  });
  return grads;
}

}  // namespace berth::train
