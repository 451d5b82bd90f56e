// Attention's backward pass: see attention.h. Two kernels over tiles (attention_tiles.cuh), each block of which works for one tile of one
// sample and head and reads the sample's other tiles one after the other: d_queries (for queries) and d_keys (for keys); nothing is
// added across blocks. Where samples are short and tensor cores are there, d_short takes the place of both: 5 products of tiles
// instead of 7.
#include "trainer/kernels/cuda/attention_common.cuh"

namespace berth::train::cuda {
namespace {

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
void backward_of_size(const BackwardArgs<T>& args, Stream stream) {
  if (args.shape.first_query_only) {
    launch_first_query_backward<T, HeadSize>(args, stream);
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

#define BERTH_ATTENTION(T)                                                                                                 \
  template void attention_backward(const AttentionShape&, const AttentionInputs<T>&, const T*, int64_t, const T*, int64_t, \
                                   const float*, const uint64_t*, const AttentionGradients<T>&, float*, Stream);
BERTH_ATTENTION(float)
BERTH_ATTENTION(Bf16)
BERTH_ATTENTION(Fp16)
#undef BERTH_ATTENTION

}  // namespace berth::train::cuda
