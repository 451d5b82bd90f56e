// Attention's forward pass: see attention.h. A block works for one tile (attention_tiles.cuh) of queries of one sample and head and reads
// the sample's tiles of keys one after the other, as FlashAttention does; nothing is added across blocks.
//
// Dropout: each thread of forward draws the bits of its own scores, all four words of each Philox call being its own, and keeps them
// for backward. Counted for 16 queries x 64 keys, which a warp of an H100 multiplies in 64 mma of 6 cycles (forward) and 224 (d_queries
// and d_keys; 160 in d_short), with some 430 and 1,160 instructions: 8 Philox calls of the warp, of which the compiler moves a fourth
// out of the loop, are 120 wide multiplications at a fourth of the rate of other instructions, 130 xors and 70 for the decisions. Drawn
// again in d_queries and d_keys they would cost half as much as all the rest; read, they are 128 bytes, against 4,096 of keys and
// values.
#include "trainer/kernels/cuda/attention_common.cuh"

namespace berth::train::cuda {
namespace {

// Draws the bits of a thread's rows, tile after tile. A row's first element may be one of the 2nd to 4th 16 of a group of 64: then
// a tile's bits come from two groups, the later of which serves the next tile as well.
template <class Tiles>
class MaskRows {
 public:
  // query: of row(0) of the first warp, in the sample.
  __device__ MaskRows(const DropoutArgs& dropout, int64_t sample, int head, int tokens, int query)
      : sample_(static_cast<uint64_t>(sample)),
        head_(head),
        key0_(dropout.key0),
        key1_(dropout.key1),
        lowest_(dropout.threshold << 8) {
    BERTH_UNROLL
    for (int i = 0; i < 2; ++i) {
      const auto part = static_cast<uint32_t>(query + Tiles::row(i)) * (static_cast<uint32_t>(tokens + 15) / 16);
      group_[i] = part / 4;
      parts_[i] = -static_cast<int>(part % 4);
      bits_[i] = 0;
    }
  }

  // Of the next kRows keys, of which so many are there: bit j for column j.
  __device__ uint32_t next(int i, int keys) {
    constexpr int kParts = Tiles::kRows / 16;
    const int needed = keys >= Tiles::kRows ? kParts : (keys + 15) / 16;
    while (parts_[i] < needed) {
      uint32_t drawn = 0;
      BERTH_UNROLL
      for (int j = 0; j < kBits; ++j) {
        const PhiloxWords random =
            philox(static_cast<uint32_t>(sample_), static_cast<uint32_t>(sample_ >> 32), static_cast<uint32_t>(head_),
                   group_[i] * 16 + static_cast<uint32_t>(Tiles::column(j)), key0_, key1_);
        BERTH_UNROLL
        for (int word = 0; word < 4; ++word)
          if (random.at[word] >= lowest_) drawn |= 1u << (word * kBits + j);
      }
      bits_[i] |= parts_[i] < 0 ? drawn >> -parts_[i] * kBits : drawn << parts_[i] * kBits;
      parts_[i] += 4;
      ++group_[i];
    }
    const uint32_t bits = bits_[i] & ((1u << kParts * kBits) - 1);
    bits_[i] >>= kParts * kBits;
    parts_[i] -= kParts;
    return bits;
  }

 private:
  static constexpr int kBits = 16 / Tiles::kRowLanes;  // for 16 keys
  uint64_t sample_;
  int head_;
  uint32_t key0_, key1_, lowest_;  // the lowest random word that is kept
  uint32_t group_[2];              // to draw next
  uint32_t bits_[2];               // drawn and not yet used,
  int parts_[2];                   // for so many times 16 keys; negative: to be passed over
};

template <class Tiles>
struct ForwardShared {
  typename Tiles::Tile q, k[Tiles::kStages], v[Tiles::kStages];
  typename Tiles::Scratch scratch;
};

template <class Tiles>
__global__ void __launch_bounds__(kAttentionThreads, 4) forward(const ForwardArgs<typename Tiles::T> args) {
  using Scores = typename Tiles::template Product<Tiles::kForwardColumns>;
  static_assert(Tiles::kForwardColumns == Tiles::kRows);
  BERTH_DYNAMIC_SHARED(memory);
  auto& shared = *reinterpret_cast<ForwardShared<Tiles>*>(memory);
  const AttentionShape& shape = args.shape;
  const AttentionInputs<typename Tiles::T>& in = args.inputs;
  const Place at = place(shape, Tiles::kRows);
  if (at.first >= at.tokens) return;
  const int queries = at.tokens - at.first;  // from the tile's first on
  const int column = at.head * Tiles::kHeadSize;
  const int64_t query_row = at.row + at.first;

  const auto load_keys = [&](int first, int stage) {
    const int64_t row = at.row + first;
    Tiles::load(shared.k[stage], in.k + row * in.k_stride + column, in.k_stride, at.tokens - first);
    Tiles::load(shared.v[stage], in.v + row * in.v_stride + column, in.v_stride, at.tokens - first);
  };
  Tiles::load(shared.q, in.q + query_row * in.q_stride + column, in.q_stride, queries);
  load_keys(0, 0);

  const bool works = static_cast<int>(threadIdx.x / 32) * Tiles::kWarpRows < queries;  // a warp without queries only copies
  const int64_t words = mask_words(shape);
  uint64_t* const mask = args.mask == nullptr ? nullptr : args.mask + (at.head * shape.tokens + query_row) * words;
  const bool drops = mask != nullptr;
  MaskRows<Tiles> draw(shape.dropout, drops ? shape.samples[at.sample] : 0, at.head, at.tokens, at.first);
  uint32_t written[2] = {};                                                   // of the current word
  const float scale = kLog2e * rsqrtf(static_cast<float>(Tiles::kHeadSize));  // of scores, to base 2
  typename Tiles::template Product<Tiles::kHeadSize> sums{};
  float top[2] = {-INFINITY, -INFINITY}, total[2] = {};  // the highest score so far; this thread's part of the sum
  typename Tiles::Rows q{};
  for (int first = 0, stage = 0; first < at.tokens; first += Tiles::kRows, stage = (stage + 1) % Tiles::kStages) {
    const int next = first + Tiles::kRows;
    Tiles::wait();
    __syncthreads();
    if (Tiles::kStages > 1 && next < at.tokens) load_keys(next, (stage + 1) % Tiles::kStages);
    if (works) {
      if (first == 0) q = Tiles::rows(shared.q);
      uint32_t kept[2] = {};
      if (drops) {
        BERTH_UNROLL
        for (int i = 0; i < 2; ++i) {
          kept[i] = draw.next(i, at.tokens - first);
          written[i] = first % 64 == 0 ? kept[i] : written[i] | kept[i] << first % 64 / Tiles::kRowLanes;
          const int query = Tiles::row(i);
          if (query < queries)
            *mask_part<Tiles>(mask + query * words + first / 64) = static_cast<typename Tiles::Mask>(written[i]);
        }
      }
      Scores scores;
      Tiles::dots(scores, q, shared.k[stage], 0);
      if (next > at.tokens) {
        BERTH_UNROLL
        for (int j = 0; j < Scores::kColumns; ++j)
          if (first + Tiles::column(j) >= at.tokens) scores.at(0, j) = scores.at(1, j) = -INFINITY;
      }
      BERTH_UNROLL
      for (int i = 0; i < 2; ++i) {
        float highest = top[i];
        BERTH_UNROLL
        for (int j = 0; j < Scores::kColumns; ++j) highest = fmaxf(highest, scores.at(i, j));
        highest = Tiles::row_max(highest);
        const float shrink = exp2_fast((top[i] - highest) * scale), shift = highest * scale;
        top[i] = highest;
        total[i] *= shrink;
        BERTH_UNROLL
        for (int j = 0; j < Scores::kColumns; ++j) {
          scores.at(i, j) = exp2_fast(scores.at(i, j) * scale - shift);
          total[i] += scores.at(i, j);
        }
        BERTH_UNROLL
        for (int j = 0; j < sums.kColumns; ++j) sums.at(i, j) *= shrink;
      }
      if (drops) {
        BERTH_UNROLL
        for (int i = 0; i < 2; ++i) {
          BERTH_UNROLL
          for (int j = 0; j < Scores::kColumns; ++j)
            if ((kept[i] >> j & 1) == 0) scores.at(i, j) = 0;
        }
      }
      Tiles::add_weighted(sums, scores, shared.v[stage], 0, shared.scratch);
    }
    if (Tiles::kStages == 1 && next < at.tokens) {
      __syncthreads();
      load_keys(next, 0);
    }
  }
  if (!works) return;
  BERTH_UNROLL
  for (int i = 0; i < 2; ++i) {
    const float sum = Tiles::row_sum(total[i]);
    if (Tiles::column(0) == 0 && Tiles::row(i) < queries)
      args.lse[at.head * shape.tokens + query_row + Tiles::row(i)] = (top[i] * scale + log2f(sum)) * kLn2;
    const float factor = (drops ? shape.dropout.scale : 1.f) / sum;
    BERTH_UNROLL
    for (int j = 0; j < sums.kColumns; ++j) sums.at(i, j) *= factor;
  }
  Tiles::store_rows(shared.q, sums, args.out + query_row * args.out_stride + column, args.out_stride, queries);
}

template <class Tiles>
void launch_forward(const ForwardArgs<typename Tiles::T>& args, Stream stream) {
  launch(forward<Tiles>, blocks(args.shape, Tiles::kRows), dim3(kAttentionThreads), sizeof(ForwardShared<Tiles>), stream, args);
}

template <class T, int HeadSize>
void forward_of_size(const ForwardArgs<T>& args, Stream stream) {
  if (args.shape.first_query_only) {
    launch_first_query_forward<T, HeadSize>(args, stream);
    return;
  }
  if constexpr (sizeof(T) == 2) {
    if (args.shape.tensor_cores && has_tensor_cores()) return launch_forward<TensorTiles<T, HeadSize>>(args, stream);
  }
  launch_forward<PlainTiles<T, HeadSize>>(args, stream);
}

}  // namespace

template <class T>
void attention_forward(const AttentionShape& shape, const AttentionInputs<T>& inputs, T* out, int64_t out_stride, float* lse,
                       uint64_t* mask, Stream stream) {
  if (shape.batch == 0) return;
  check_inputs(shape, inputs, mask);
  check_rows("out", out, out_stride);
  const ForwardArgs<T> args{shape, inputs, out, out_stride, lse, mask};
  if (shape.head_size == 32)
    forward_of_size<T, 32>(args, stream);
  else
    forward_of_size<T, 64>(args, stream);
}

template void attention_forward(const AttentionShape&, const AttentionInputs<float>&, float*, int64_t, float*, uint64_t*, Stream);
template void attention_forward(const AttentionShape&, const AttentionInputs<Bf16>&, Bf16*, int64_t, float*, uint64_t*, Stream);
template void attention_forward(const AttentionShape&, const AttentionInputs<Fp16>&, Fp16*, int64_t, float*, uint64_t*, Stream);

}  // namespace berth::train::cuda
