// Attention where the query of each sample is its first token's: a block for a sample and head. kLanes lanes hold a row of the head, kElements each, and take one key after the
// other, kGroups apart; at the end, one thread a column adds up the groups in order.
#include "trainer/kernels/cuda/attention_common.cuh"

namespace berth::train::cuda {
namespace {

template <class T, int HeadSize>
struct FirstQuery {
  static constexpr int kElements = 16 / sizeof(T), kLanes = HeadSize / kElements, kGroups = kAttentionThreads / kLanes;

  static __device__ int group() { return static_cast<int>(threadIdx.x) / kLanes; }
  static __device__ int column() { return static_cast<int>(threadIdx.x) % kLanes * kElements; }  // in the head
  static __device__ Numbers<float, kElements> load(const T* p) {
    const Numbers<T, kElements> values = load_vector<kElements>(p);
    Numbers<float, kElements> result;
    BERTH_UNROLL
    for (int e = 0; e < kElements; ++e) result.at[e] = to_float(values.at[e]);
    return result;
  }
  static __device__ void store(const Numbers<float, kElements>& values, float factor, T* p) {
    Numbers<T, kElements> result;
    BERTH_UNROLL
    for (int e = 0; e < kElements; ++e) from_float(values.at[e] * factor, result.at[e]);
    store_vector(p, result);
  }
  static __device__ void add(Numbers<float, kElements>& to, float factor, const Numbers<float, kElements>& values) {
    BERTH_UNROLL
    for (int e = 0; e < kElements; ++e) to.at[e] += factor * values.at[e];
  }
  // Of whole rows: the same in all lanes of the group.
  static __device__ float dot(const Numbers<float, kElements>& a, const Numbers<float, kElements>& b) {
    float sum = 0;
    BERTH_UNROLL
    for (int e = 0; e < kElements; ++e) sum += a.at[e] * b.at[e];
    BERTH_UNROLL
    for (int distance = 1; distance < kLanes; distance *= 2) sum += __shfl_xor_sync(kAllLanes, sum, distance);
    return sum;
  }
  static __device__ bool keep(const DropoutArgs& dropout, int64_t sample, int head, int key) {
    if (dropout.threshold == 0) return true;
    const auto id = static_cast<uint64_t>(sample);
    const PhiloxWords random =
        philox(static_cast<uint32_t>(id), static_cast<uint32_t>(id >> 32), static_cast<uint32_t>(head),
               static_cast<uint32_t>(key) / 64 * 16 + static_cast<uint32_t>(key) % 16, dropout.key0, dropout.key1);
    const int word = key % 64 / 16;
    return keeps(word == 0 ? random.at[0] : word == 1 ? random.at[1] : word == 2 ? random.at[2] : random.at[3], dropout);
  }
};

template <class T, int HeadSize>
__global__ void __launch_bounds__(kAttentionThreads) first_query_forward(const ForwardArgs<T> args) {
  using Row = FirstQuery<T, HeadSize>;
  __shared__ float sums[Row::kGroups][HeadSize], tops[Row::kGroups], totals[Row::kGroups];
  const AttentionShape& shape = args.shape;
  const AttentionInputs<T>& in = args.inputs;
  const Place at = place(shape, static_cast<int>(shape.max_seqlen));
  const int column = at.head * HeadSize + Row::column();
  const bool drops = shape.dropout.threshold != 0;
  const int64_t id = drops ? shape.samples[at.sample] : 0;
  const float scale = kLog2e * rsqrtf(static_cast<float>(HeadSize));
  const auto q = Row::load(in.q + at.sample * in.q_stride + column);
  Numbers<float, Row::kElements> sum{};
  float top = -INFINITY, total = 0;
  for (int first = 0; first < at.tokens; first += Row::kGroups) {
    const int key = first + Row::group();
    const bool there = key < at.tokens;  // lanes of a warp go on together
    const int64_t row = at.row + (there ? key : 0);
    const float score = Row::dot(q, Row::load(in.k + row * in.k_stride + column)) * scale;
    if (!there) continue;
    const float highest = fmaxf(top, score), shrink = exp2_fast(top - highest), weight = exp2_fast(score - highest);
    top = highest;
    total = total * shrink + weight;
    BERTH_UNROLL
    for (int e = 0; e < Row::kElements; ++e) sum.at[e] *= shrink;
    if (Row::keep(shape.dropout, id, at.head, key)) Row::add(sum, weight, Row::load(in.v + row * in.v_stride + column));
  }
  BERTH_UNROLL
  for (int e = 0; e < Row::kElements; ++e) sums[Row::group()][Row::column() + e] = sum.at[e];
  if (Row::column() == 0) {
    tops[Row::group()] = top;
    totals[Row::group()] = total;
  }
  __syncthreads();
  const int c = static_cast<int>(threadIdx.x);
  if (c >= HeadSize) return;
  float highest = tops[0], all = 0, result = 0;  // the first group has a key
  for (int g = 1; g < Row::kGroups; ++g) highest = fmaxf(highest, tops[g]);
  for (int g = 0; g < Row::kGroups; ++g) {
    const float shrink = exp2_fast(tops[g] - highest);
    all += shrink * totals[g];
    result += shrink * sums[g][c];
  }
  from_float(result * (drops ? shape.dropout.scale : 1.f) / all, args.out[at.sample * args.out_stride + at.head * HeadSize + c]);
  if (c == 0) args.lse[at.head * shape.batch + at.sample] = (highest + log2f(all)) * kLn2;
}

template <class T, int HeadSize>
__global__ void __launch_bounds__(kAttentionThreads) first_query_backward(const BackwardArgs<T> args) {
  using Row = FirstQuery<T, HeadSize>;
  __shared__ float sums[Row::kGroups][HeadSize];
  const AttentionShape& shape = args.shape;
  const AttentionInputs<T>& in = args.inputs;
  const AttentionGradients<T>& gradients = args.gradients;
  const Place at = place(shape, static_cast<int>(shape.max_seqlen));
  const int column = at.head * HeadSize + Row::column();
  const bool drops = shape.dropout.threshold != 0;
  const int64_t id = drops ? shape.samples[at.sample] : 0;
  const float scale = rsqrtf(static_cast<float>(HeadSize)), dropout_scale = drops ? shape.dropout.scale : 1.f;
  const auto q = Row::load(in.q + at.sample * in.q_stride + column);
  const auto d_out = Row::load(args.d_out + at.sample * args.d_out_stride + column);
  const float delta = Row::dot(d_out, Row::load(args.out + at.sample * args.out_stride + column));
  const float lse = args.lse[at.head * shape.batch + at.sample] * kLog2e;
  Numbers<float, Row::kElements> dq{};
  for (int first = 0; first < at.tokens; first += Row::kGroups) {
    const int key = first + Row::group();
    const bool there = key < at.tokens;
    const int64_t row = at.row + (there ? key : 0);
    const auto k = Row::load(in.k + row * in.k_stride + column);
    const float weight = exp2_fast(Row::dot(q, k) * (scale * kLog2e) - lse);
    const float d_weight = Row::dot(d_out, Row::load(in.v + row * in.v_stride + column));
    if (!there) continue;
    const float factor = Row::keep(shape.dropout, id, at.head, key) ? dropout_scale : 0.f;
    const float d_score = weight * (d_weight * factor - delta) * scale;
    Row::add(dq, d_score, k);
    Row::store(q, d_score, gradients.dk + row * gradients.dk_stride + column);
    Row::store(d_out, weight * factor, gradients.dv + row * gradients.dv_stride + column);
  }
  BERTH_UNROLL
  for (int e = 0; e < Row::kElements; ++e) sums[Row::group()][Row::column() + e] = dq.at[e];
  __syncthreads();
  const int c = static_cast<int>(threadIdx.x);
  if (c >= HeadSize) return;
  float result = 0;
  for (int g = 0; g < Row::kGroups; ++g) result += sums[g][c];
  from_float(result, gradients.dq[at.sample * gradients.dq_stride + at.head * HeadSize + c]);
}

}  // namespace

template <class T, int HeadSize>
void launch_first_query_forward(const ForwardArgs<T>& args, Stream stream) {
  launch(first_query_forward<T, HeadSize>, blocks(args.shape, args.shape.max_seqlen), dim3(kAttentionThreads), 0, stream, args);
}
template <class T, int HeadSize>
void launch_first_query_backward(const BackwardArgs<T>& args, Stream stream) {
  launch(first_query_backward<T, HeadSize>, blocks(args.shape, args.shape.max_seqlen), dim3(kAttentionThreads), 0, stream, args);
}

#define BERTH_FIRST_QUERY(T, size)                                                  \
  template void launch_first_query_forward<T, size>(const ForwardArgs<T>&, Stream); \
  template void launch_first_query_backward<T, size>(const BackwardArgs<T>&, Stream);
BERTH_FIRST_QUERY(float, 32)
BERTH_FIRST_QUERY(float, 64)
BERTH_FIRST_QUERY(Bf16, 32)
BERTH_FIRST_QUERY(Bf16, 64)
BERTH_FIRST_QUERY(Fp16, 32)
BERTH_FIRST_QUERY(Fp16, 64)
#undef BERTH_FIRST_QUERY

}  // namespace berth::train::cuda
