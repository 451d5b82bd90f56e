// See attention.h. Three kernels over tiles (attention_tiles.cuh), each block of which works for one tile of one sample and head and
// reads the sample's other tiles one after the other, as FlashAttention does: forward (for queries), d_queries (for queries), d_keys
// (for keys); nothing is added across blocks. Where samples are short and tensor cores are there, d_short takes the place of the last
// two: 5 products of tiles instead of 7. First queries have two small kernels of their own.
//
// Dropout: each thread of forward draws the bits of its own scores, all four words of each Philox call being its own, and keeps them
// for backward. Counted for 16 queries x 64 keys, which a warp of an H100 multiplies in 64 mma of 6 cycles (forward) and 224 (d_queries
// and d_keys; 160 in d_short), with some 430 and 1,160 instructions: 8 Philox calls of the warp, of which the compiler moves a fourth
// out of the loop, are 120 wide multiplications at a fourth of the rate of other instructions, 130 xors and 70 for the decisions. Drawn
// again in d_queries and d_keys they would cost half as much as all the rest; read, they are 128 bytes, against 4,096 of keys and
// values.
#include "trainer/kernels/cuda/attention.h"
#include "trainer/kernels/cuda/attention_tiles.cuh"

namespace berth::train::cuda {
namespace {

constexpr float kLog2e = 1.4426950408889634f, kLn2 = 0.6931471805599453f;

__device__ inline float exp2_fast(float x) {
#ifdef __CUDACC__
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));  // to 2 ulp
  return result;
#else
  return std::exp2(x);
#endif
}

// Where a block works: `first` is its tile's first token in the sample, row the packed row of the sample's first.
struct Place {
  int sample, head, first, tokens;
  int64_t row;
};
__device__ inline Place place(const AttentionShape& shape, int tile_rows) {
  const auto tiles = static_cast<uint32_t>((shape.max_seqlen + tile_rows - 1) / tile_rows);
  const auto heads = static_cast<uint32_t>(shape.heads);
  const uint32_t tile = blockIdx.x % tiles, pair = blockIdx.x / tiles;
  Place place;
  place.sample = static_cast<int>(pair / heads);
  place.head = static_cast<int>(pair % heads);
  place.first = static_cast<int>(tile) * tile_rows;
  place.row = shape.cu_seqlens[place.sample];
  place.tokens = shape.cu_seqlens[place.sample + 1] - static_cast<int>(place.row);
  return place;
}

__device__ inline int64_t mask_words(const AttentionShape& shape) { return (shape.max_seqlen + 63) / 64; }

// A thread's part of the mask's word for 64 keys.
template <class Tiles>
__device__ inline typename Tiles::Mask* mask_part(uint64_t* word) {
  return reinterpret_cast<typename Tiles::Mask*>(word) + Tiles::lane() % Tiles::kRowLanes;
}
template <class Tiles>
__device__ inline const typename Tiles::Mask* mask_part(const uint64_t* word) {
  return reinterpret_cast<const typename Tiles::Mask*>(word) + Tiles::lane() % Tiles::kRowLanes;
}

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

template <class T>
struct ForwardArgs {
  AttentionShape shape;
  AttentionInputs<T> inputs;
  T* out;
  int64_t out_stride;
  float* lse;
  uint64_t* mask;
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

template <class T>
struct BackwardArgs {
  AttentionShape shape;
  AttentionInputs<T> inputs;
  const T *d_out, *out;
  int64_t d_out_stride, out_stride;
  const float* lse;
  const uint64_t* mask;
  AttentionGradients<T> gradients;
  float* delta;
};

template <class Tiles>
struct DQueriesShared {
  typename Tiles::Tile q, d_out, k[Tiles::kStages], v[Tiles::kStages];
  typename Tiles::Scratch scratch;
};

// Writes delta, the products of each row of out with its gradient, as well.
template <class Tiles>
__global__ void __launch_bounds__(kAttentionThreads, 3) d_queries(const BackwardArgs<typename Tiles::T> args) {
  using Scores = typename Tiles::template Product<Tiles::kBackwardColumns>;
  BERTH_DYNAMIC_SHARED(memory);
  auto& shared = *reinterpret_cast<DQueriesShared<Tiles>*>(memory);
  const AttentionShape& shape = args.shape;
  const AttentionInputs<typename Tiles::T>& in = args.inputs;
  const Place at = place(shape, Tiles::kRows);
  if (at.first >= at.tokens) return;
  const int queries = at.tokens - at.first;
  const int column = at.head * Tiles::kHeadSize;
  const int64_t query_row = at.row + at.first;

  const auto load_keys = [&](int first, int stage) {
    const int64_t row = at.row + first;
    Tiles::load(shared.k[stage], in.k + row * in.k_stride + column, in.k_stride, at.tokens - first);
    Tiles::load(shared.v[stage], in.v + row * in.v_stride + column, in.v_stride, at.tokens - first);
  };
  Tiles::load(shared.q, in.q + query_row * in.q_stride + column, in.q_stride, queries);
  Tiles::load(shared.d_out, args.d_out + query_row * args.d_out_stride + column, args.d_out_stride, queries);
  load_keys(0, 0);

  const bool works = static_cast<int>(threadIdx.x / 32) * Tiles::kWarpRows < queries;
  const int64_t words = mask_words(shape);
  const uint64_t* const mask = args.mask == nullptr ? nullptr : args.mask + (at.head * shape.tokens + query_row) * words;
  const float scale = rsqrtf(static_cast<float>(Tiles::kHeadSize));
  const float dropout_scale = mask == nullptr ? 1.f : shape.dropout.scale;
  float lse[2] = {}, delta[2] = {};  // lse: to base 2
  typename Tiles::template Product<Tiles::kHeadSize> dq{};
  typename Tiles::Rows q{}, d_out{};
  for (int first = 0, stage = 0; first < at.tokens; first += Tiles::kRows, stage = (stage + 1) % Tiles::kStages) {
    const int next = first + Tiles::kRows;
    Tiles::wait();
    __syncthreads();
    if (Tiles::kStages > 1 && next < at.tokens) load_keys(next, (stage + 1) % Tiles::kStages);
    if (works) {
      if (first == 0) {
        q = Tiles::rows(shared.q);
        d_out = Tiles::rows(shared.d_out);
        Tiles::row_dots(d_out, args.out + query_row * args.out_stride + column, args.out_stride, queries, delta);
        BERTH_UNROLL
        for (int i = 0; i < 2; ++i) {
          if (Tiles::row(i) >= queries) continue;
          const int64_t index = at.head * shape.tokens + query_row + Tiles::row(i);
          lse[i] = args.lse[index] * kLog2e;
          if (Tiles::column(0) == 0) args.delta[index] = delta[i];
        }
      }
      BERTH_UNROLL
      for (int part = 0; part < Tiles::kRows; part += Tiles::kBackwardColumns) {
        if (first + part >= at.tokens) break;
        const int key = first + part;
        uint32_t kept[2] = {~0u, ~0u};
        if (mask != nullptr) {
          BERTH_UNROLL
          for (int i = 0; i < 2; ++i) {
            const int query = Tiles::row(i);
            if (query < queries) kept[i] = *mask_part<Tiles>(mask + query * words + key / 64) >> key % 64 / Tiles::kRowLanes;
          }
        }
        Scores scores, d_weights;
        Tiles::dots(scores, q, shared.k[stage], part);
        Tiles::dots(d_weights, d_out, shared.v[stage], part);
        BERTH_UNROLL
        for (int i = 0; i < 2; ++i) {
          BERTH_UNROLL
          for (int j = 0; j < Scores::kColumns; ++j) {
            const float weight = exp2_fast(scores.at(i, j) * (scale * kLog2e) - lse[i]);
            const float d_weight = (kept[i] >> j & 1) != 0 ? d_weights.at(i, j) : 0.f;
            scores.at(i, j) = weight * (d_weight * dropout_scale - delta[i]);
          }
        }
        if (key + Tiles::kBackwardColumns > at.tokens) {  // the weight of a key that is not there may be infinite
          BERTH_UNROLL
          for (int j = 0; j < Scores::kColumns; ++j)
            if (key + Tiles::column(j) >= at.tokens) scores.at(0, j) = scores.at(1, j) = 0;
        }
        Tiles::add_weighted(dq, scores, shared.k[stage], part, shared.scratch);
      }
    }
    if (Tiles::kStages == 1 && next < at.tokens) {
      __syncthreads();
      load_keys(next, 0);
    }
  }
  if (!works) return;
  BERTH_UNROLL
  for (int i = 0; i < 2; ++i) {
    BERTH_UNROLL
    for (int j = 0; j < dq.kColumns; ++j) dq.at(i, j) *= scale;
  }
  Tiles::store_rows(shared.q, dq, args.gradients.dq + query_row * args.gradients.dq_stride + column, args.gradients.dq_stride,
                    queries);
}

// Rows are keys, columns are queries: scores become weights, zero where dropped, and gradients of the weights those of the scores.
// lse, delta, mask: of the first column's query and the next; key: of the tile's first row, in the mask's word.
template <class Tiles, class Product>
__device__ inline void score_gradients(Product& scores, Product& gradients, const float* lse, const float* delta,
                                       const uint64_t* mask, int key, float dropout_scale) {
  const float scale = kLog2e * rsqrtf(static_cast<float>(Tiles::kHeadSize));
  // In the word; both rows' lie in the same half of it.
  const int bits[2] = {Tiles::mask_bit(key + Tiles::row(0)), Tiles::mask_bit(key + Tiles::row(1))};
  BERTH_UNROLL
  for (int j = 0; j < Product::kColumns; ++j) {
    const int query = Tiles::column(j);
    const float shift = lse[query] * kLog2e, d = delta[query];
    const uint32_t kept = reinterpret_cast<const uint32_t*>(&mask[query])[bits[0] / 32] >> bits[0] % 32;
    BERTH_UNROLL
    for (int i = 0; i < 2; ++i) {
      const bool keep = (kept >> (bits[i] - bits[0]) & 1) != 0;
      const float weight = exp2_fast(scores.at(i, j) * scale - shift);
      scores.at(i, j) = keep ? weight : 0.f;
      gradients.at(i, j) = weight * ((keep ? gradients.at(i, j) : 0.f) * dropout_scale - d);
    }
  }
}

template <class Tiles>
struct DKeysShared {
  typename Tiles::Tile k, v, q[Tiles::kStages], d_out[Tiles::kStages];
  uint64_t mask[Tiles::kStages][Tiles::kRows];  // of each query, the word with the block's keys
  float lse[Tiles::kStages][Tiles::kRows], delta[Tiles::kStages][Tiles::kRows];
  typename Tiles::Scratch scratch;
};

// Rows of its products are keys, columns are queries.
template <class Tiles>
__global__ void __launch_bounds__(kAttentionThreads, 3) d_keys(const BackwardArgs<typename Tiles::T> args) {
  using Scores = typename Tiles::template Product<Tiles::kBackwardColumns>;
  BERTH_DYNAMIC_SHARED(memory);
  auto& shared = *reinterpret_cast<DKeysShared<Tiles>*>(memory);
  const AttentionShape& shape = args.shape;
  const AttentionInputs<typename Tiles::T>& in = args.inputs;
  const Place at = place(shape, Tiles::kRows);
  if (at.first >= at.tokens) return;
  const int keys = at.tokens - at.first;
  const int column = at.head * Tiles::kHeadSize;
  const int64_t key_row = at.row + at.first, words = mask_words(shape);

  // Queries that are not there are zero, and so is what they add.
  const auto load_queries = [&](int first, int stage) {
    const int64_t row = at.row + first, index = at.head * shape.tokens + row;
    const int queries = at.tokens - first;
    Tiles::load(shared.q[stage], in.q + row * in.q_stride + column, in.q_stride, queries);
    Tiles::load(shared.d_out[stage], args.d_out + row * args.d_out_stride + column, args.d_out_stride, queries);
    Tiles::load_values(shared.lse[stage], args.lse + index, 1, queries);
    Tiles::load_values(shared.delta[stage], args.delta + index, 1, queries);
    if (args.mask != nullptr) Tiles::load_values(shared.mask[stage], args.mask + index * words + at.first / 64, words, queries);
  };
  Tiles::load(shared.k, in.k + key_row * in.k_stride + column, in.k_stride, keys);
  Tiles::load(shared.v, in.v + key_row * in.v_stride + column, in.v_stride, keys);
  load_queries(0, 0);
  if (args.mask == nullptr)
    for (int i = static_cast<int>(threadIdx.x); i < Tiles::kStages * Tiles::kRows; i += kAttentionThreads)
      shared.mask[i / Tiles::kRows][i % Tiles::kRows] = ~uint64_t{0};

  const bool works = static_cast<int>(threadIdx.x / 32) * Tiles::kWarpRows < keys;
  const float scale = rsqrtf(static_cast<float>(Tiles::kHeadSize));
  const float dropout_scale = args.mask == nullptr ? 1.f : shape.dropout.scale;
  typename Tiles::template Product<Tiles::kHeadSize> dk{}, dv{};
  typename Tiles::Rows k{}, v{};
  for (int first = 0, stage = 0; first < at.tokens; first += Tiles::kRows, stage = (stage + 1) % Tiles::kStages) {
    const int next = first + Tiles::kRows;
    Tiles::wait();
    __syncthreads();
    if (Tiles::kStages > 1 && next < at.tokens) load_queries(next, (stage + 1) % Tiles::kStages);
    if (works) {
      if (first == 0) {
        k = Tiles::rows(shared.k);
        v = Tiles::rows(shared.v);
      }
      BERTH_UNROLL
      for (int part = 0; part < Tiles::kRows; part += Tiles::kBackwardColumns) {
        if (first + part >= at.tokens) break;
        Scores weights, d_scores;
        Tiles::dots(weights, k, shared.q[stage], part);
        Tiles::dots(d_scores, v, shared.d_out[stage], part);
        score_gradients<Tiles>(weights, d_scores, &shared.lse[stage][part], &shared.delta[stage][part], &shared.mask[stage][part],
                               at.first % 64, dropout_scale);
        Tiles::add_weighted(dv, weights, shared.d_out[stage], part, shared.scratch);
        Tiles::add_weighted(dk, d_scores, shared.q[stage], part, shared.scratch);
      }
    }
    if (Tiles::kStages == 1 && next < at.tokens) {
      __syncthreads();
      load_queries(next, 0);
    }
  }
  if (!works) return;
  BERTH_UNROLL
  for (int i = 0; i < 2; ++i) {
    BERTH_UNROLL
    for (int j = 0; j < dk.kColumns; ++j) {
      dk.at(i, j) *= scale;
      dv.at(i, j) *= dropout_scale;
    }
  }
  const AttentionGradients<typename Tiles::T>& out = args.gradients;
  Tiles::store_rows(shared.k, dk, out.dk + key_row * out.dk_stride + column, out.dk_stride, keys);
  Tiles::store_rows(shared.v, dv, out.dv + key_row * out.dv_stride + column, out.dv_stride, keys);
}

template <class Tiles, int kTiles>
struct ShortShared {
  typename Tiles::Tile k[kTiles], v[kTiles], q[kTiles], d_out[kTiles];
  typename TensorTiles<typename Tiles::T, 64>::Tile d_scores[kTiles];  // rows are the tile's keys, columns 64 queries
  uint64_t mask[kTiles][kTiles][64];                                   // of a tile's keys, each tile's queries
  float lse[kTiles][64], delta[kTiles][64];
  typename Tiles::Scratch scratch;
};

// All gradients of a sample of one or two tiles, by a block that has all of it: each score is computed once. As d_keys, 4 warps for
// a tile of keys; they leave the gradients of the scores of one tile of queries in shared memory, from where each 4 warps multiply
// them with their half of the keys' columns.
template <class Tiles, int kTiles>
__global__ void __launch_bounds__(kAttentionThreads* kTiles, 4 / kTiles) d_short(const BackwardArgs<typename Tiles::T> args) {
  using Scores = typename Tiles::template Product<Tiles::kBackwardColumns>;
  using Square = TensorTiles<typename Tiles::T, 64>;
  BERTH_DYNAMIC_SHARED(memory);
  auto& shared = *reinterpret_cast<ShortShared<Tiles, kTiles>*>(memory);
  const AttentionShape& shape = args.shape;
  const AttentionInputs<typename Tiles::T>& in = args.inputs;
  const AttentionGradients<typename Tiles::T>& out = args.gradients;
  const Place at = place(shape, 64 * kTiles);
  const int column = at.head * Tiles::kHeadSize;
  const int own = static_cast<int>(threadIdx.x) / kAttentionThreads;  // tile, of keys and of queries to begin with
  const int rows = at.tokens - 64 * own;
  const int64_t row = at.row + 64 * own, index = at.head * shape.tokens + row;

  if (args.mask == nullptr)
    for (int i = Tiles::thread(); i < kTiles * 64; i += kAttentionThreads) shared.mask[own][i / 64][i % 64] = ~uint64_t{0};
  if (rows > 0) {
    Tiles::load(shared.k[own], in.k + row * in.k_stride + column, in.k_stride, rows);
    Tiles::load(shared.v[own], in.v + row * in.v_stride + column, in.v_stride, rows);
    Tiles::load(shared.q[own], in.q + row * in.q_stride + column, in.q_stride, rows);
    Tiles::load(shared.d_out[own], args.d_out + row * args.d_out_stride + column, args.d_out_stride, rows);
    Tiles::load_values(shared.lse[own], args.lse + index, 1, rows);
    if (args.mask != nullptr) {
      for (int tile = 0; tile < kTiles; ++tile)
        Tiles::load_values(shared.mask[tile][own], args.mask + index * kTiles + tile, kTiles, rows);
    }
  }
  Tiles::wait();
  __syncthreads();
  if (rows > 0) {
    float delta[2];
    Tiles::row_dots(Tiles::rows(shared.d_out[own]), args.out + row * args.out_stride + column, args.out_stride, rows, delta);
    if (Tiles::column(0) == 0) {
      shared.delta[own][Tiles::row(0)] = delta[0];
      shared.delta[own][Tiles::row(1)] = delta[1];
    }
  }
  __syncthreads();

  const int warp_row = Tiles::warp() * Tiles::kWarpRows;
  const float scale = rsqrtf(static_cast<float>(Tiles::kHeadSize));
  const float dropout_scale = args.mask == nullptr ? 1.f : shape.dropout.scale;
  typename Tiles::template Product<Tiles::kHeadSize> dk{}, dv{};
  for (int first = 0, tile = 0; first < at.tokens; first += 64, ++tile) {
    if (first > 0) __syncthreads();  // d_scores is read
    if (warp_row < rows) {
      BERTH_UNROLL
      for (int part = 0; part < 64; part += Tiles::kBackwardColumns) {
        if (first + part >= at.tokens) break;
        Scores weights, d_scores;
        Tiles::dots(weights, Tiles::rows(shared.k[own]), shared.q[tile], part);
        Tiles::dots(d_scores, Tiles::rows(shared.v[own]), shared.d_out[tile], part);
        score_gradients<Tiles>(weights, d_scores, &shared.lse[tile][part], &shared.delta[tile][part],
                               &shared.mask[own][tile][part], 0, dropout_scale);
        Tiles::add_weighted(dv, weights, shared.d_out[tile], part, shared.scratch);
        Tiles::add_weighted(dk, d_scores, shared.q[tile], part, shared.scratch);
        BERTH_UNROLL
        for (int i = 0; i < 2; ++i) {
          if (Tiles::row(i) < rows) continue;  // the weight of a key that is not there may be infinite
          BERTH_UNROLL
          for (int j = 0; j < Scores::kColumns; ++j) d_scores.at(i, j) = 0;
        }
        Square::write(shared.d_scores[own], d_scores, part / 8);
      }
    }
    __syncthreads();
    if (first + warp_row >= at.tokens) continue;
    constexpr int kColumns = Tiles::kHeadSize / kTiles;
    typename Tiles::template Product<kColumns> dq{};
    for (int key = 0; key < at.tokens; key += 16) {
      FragmentA a;  // 16 queries of the warp, 16 keys
      const int lane = Tiles::lane();
      load_matrices_transposed(
          a.x, Square::at(shared.d_scores[key / 64], key % 64 + lane / 16 * 8 + lane % 8, warp_row / 8 + lane / 8 % 2));
      Tiles::add_rows(dq, a, shared.k[key / 64], key % 64, own * kColumns / 8);
    }
    BERTH_UNROLL
    for (int i = 0; i < 2; ++i) {
      BERTH_UNROLL
      for (int j = 0; j < dq.kColumns; ++j) dq.at(i, j) *= scale;
    }
    Tiles::store_rows(shared.q[tile], dq, out.dq + (at.row + first) * out.dq_stride + column, out.dq_stride, at.tokens - first,
                      own * kColumns / 8);
  }
  if (warp_row >= rows) return;
  BERTH_UNROLL
  for (int i = 0; i < 2; ++i) {
    BERTH_UNROLL
    for (int j = 0; j < dk.kColumns; ++j) {
      dk.at(i, j) *= scale;
      dv.at(i, j) *= dropout_scale;
    }
  }
  // Others read the keys for what is left of dq; nobody reads these rows of the values.
  Tiles::store_rows(shared.v[own], dk, out.dk + row * out.dk_stride + column, out.dk_stride, rows);
  Tiles::store_rows(shared.v[own], dv, out.dv + row * out.dv_stride + column, out.dv_stride, rows);
}

// ---- First queries: a block for a sample and head. kLanes lanes hold a row of the head, kElements each, and take one key after the
// other, kGroups apart; at the end, one thread a column adds up the groups in order.
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

// ---- On the host.

bool has_tensor_cores() {
#ifdef __CUDACC__
  int device = 0, major = 0;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) != cudaSuccess)
    fail(ExitCode::kInternal, "CUDA does not say what GPU this is: ", cudaGetErrorString(cudaGetLastError()));
  return major >= 8;
#else
  return true;
#endif
}

template <class T>
void check_rows(const char* name, const T* rows, int64_t stride) {
  if (reinterpret_cast<uintptr_t>(rows) % 16 != 0 || stride * sizeof(T) % 16 != 0)
    fail(ExitCode::kInternal, "attention: rows of ", name, " must begin on 16 bytes");
}
template <class T>
void check_inputs(const AttentionShape& shape, const AttentionInputs<T>& inputs, const uint64_t* mask) {
  if (!attention_supported(shape.head_size)) fail(ExitCode::kInternal, "attention: heads of ", shape.head_size);
  if ((attention_mask_size(shape) > 0) != (mask != nullptr))
    fail(ExitCode::kInternal, "attention: a mask is needed with dropout, and only then");
  check_rows("q", inputs.q, inputs.q_stride);
  check_rows("k", inputs.k, inputs.k_stride);
  check_rows("v", inputs.v, inputs.v_stride);
}

// A block for each tile of each sample and head, if samples are cut into tiles of so many rows.
dim3 blocks(const AttentionShape& shape, int64_t tile_rows) {
  const int64_t tiles = (shape.max_seqlen + tile_rows - 1) / tile_rows, all = shape.batch * shape.heads * tiles;
  if (all > INT32_MAX) fail(ExitCode::kInternal, "attention: ", shape.batch, " samples are too many for one launch");
  return dim3(static_cast<unsigned>(all));
}

template <class Tiles>
void launch_forward(const ForwardArgs<typename Tiles::T>& args, Stream stream) {
  launch(forward<Tiles>, blocks(args.shape, Tiles::kRows), dim3(kAttentionThreads), sizeof(ForwardShared<Tiles>), stream, args);
}
template <class Tiles>
void launch_backward(const BackwardArgs<typename Tiles::T>& args, Stream stream) {
  const dim3 grid = blocks(args.shape, Tiles::kRows);
  launch(d_queries<Tiles>, grid, dim3(kAttentionThreads), sizeof(DQueriesShared<Tiles>), stream, args);
  launch(d_keys<Tiles>, grid, dim3(kAttentionThreads), sizeof(DKeysShared<Tiles>), stream, args);
}

template <class Tiles, int kTiles>
void launch_short(const BackwardArgs<typename Tiles::T>& args, Stream stream) {
  launch(d_short<Tiles, kTiles>, blocks(args.shape, 64 * kTiles), dim3(kAttentionThreads * kTiles),
         sizeof(ShortShared<Tiles, kTiles>), stream, args);
}

template <class T, int HeadSize>
void forward_of_size(const ForwardArgs<T>& args, Stream stream) {
  if (args.shape.first_query_only) {
    launch(first_query_forward<T, HeadSize>, blocks(args.shape, args.shape.max_seqlen), dim3(kAttentionThreads), 0, stream, args);
    return;
  }
  if constexpr (sizeof(T) == 2) {
    if (args.shape.tensor_cores && has_tensor_cores()) return launch_forward<TensorTiles<T, HeadSize>>(args, stream);
  }
  launch_forward<PlainTiles<T, HeadSize>>(args, stream);
}
template <class T, int HeadSize>
void backward_of_size(const BackwardArgs<T>& args, Stream stream) {
  if (args.shape.first_query_only) {
    launch(first_query_backward<T, HeadSize>, blocks(args.shape, args.shape.max_seqlen), dim3(kAttentionThreads), 0, stream,
           args);
    return;
  }
  if constexpr (sizeof(T) == 2) {
    if (args.shape.tensor_cores && has_tensor_cores()) {
      using Tiles = TensorTiles<T, HeadSize>;
      if (args.shape.max_seqlen <= 64) return launch_short<Tiles, 1>(args, stream);
      if (args.shape.max_seqlen <= 128) return launch_short<Tiles, 2>(args, stream);
      return launch_backward<Tiles>(args, stream);
    }
  }
  launch_backward<PlainTiles<T, HeadSize>>(args, stream);
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

template <class T>
void attention_backward(const AttentionShape& shape, const AttentionInputs<T>& inputs, const T* d_out, int64_t d_out_stride,
                        const T* out, int64_t out_stride, const float* lse, const uint64_t* mask,
                        const AttentionGradients<T>& gradients, float* delta, Stream stream) {
  if (shape.batch == 0) return;
  check_inputs(shape, inputs, mask);
  check_rows("d_out", d_out, d_out_stride);
  check_rows("out", out, out_stride);
  check_rows("dq", gradients.dq, gradients.dq_stride);
  check_rows("dk", gradients.dk, gradients.dk_stride);
  check_rows("dv", gradients.dv, gradients.dv_stride);
  const BackwardArgs<T> args{shape, inputs, d_out, out, d_out_stride, out_stride, lse, mask, gradients, delta};
  if (shape.head_size == 32)
    backward_of_size<T, 32>(args, stream);
  else
    backward_of_size<T, 64>(args, stream);
}

#define BERTH_ATTENTION(T)                                                                                                   \
  template void attention_forward(const AttentionShape&, const AttentionInputs<T>&, T*, int64_t, float*, uint64_t*, Stream); \
  template void attention_backward(const AttentionShape&, const AttentionInputs<T>&, const T*, int64_t, const T*, int64_t,   \
                                   const float*, const uint64_t*, const AttentionGradients<T>&, float*, Stream);
BERTH_ATTENTION(float)
BERTH_ATTENTION(Bf16)
BERTH_ATTENTION(Fp16)
#undef BERTH_ATTENTION

}  // namespace berth::train::cuda
