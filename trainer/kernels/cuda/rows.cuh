// Rows of hidden states on threads, LayerNorm on them, and sums over rows.
#pragma once

#include <algorithm>
#include <type_traits>

#include "trainer/kernels/cuda/device.cuh"

namespace berth::train::cuda {

// ---- Eight columns of a row, from column c on; those at or beyond `columns` read as zero and are not written. kVectors: the rows are
// aligned (rows_are_aligned), so that all eight are there or none.

template <bool kVectors, class T>
__device__ inline Numbers<T, 8> load8(const T* row, int64_t c, int64_t columns) {
  Numbers<T, 8> values{};
  if constexpr (kVectors) {
    if (c < columns) values = load_vector<8>(row + c);
  } else {
    BERTH_UNROLL
    for (int i = 0; i < 8; ++i)
      if (c + i < columns) values.at[i] = row[c + i];
  }
  return values;
}

template <bool kVectors, class T>
__device__ inline void store8(T* row, int64_t c, int64_t columns, const float (&values)[8]) {
  if constexpr (!kVectors) {
    BERTH_UNROLL
    for (int i = 0; i < 8; ++i)
      if (c + i < columns) from_float(values[i], row[c + i]);
  } else if (c >= columns) {
    return;
  } else if constexpr (std::is_same_v<T, float>) {
    Numbers<float, 8> all;
    BERTH_UNROLL
    for (int i = 0; i < 8; ++i) all.at[i] = values[i];
    store_vector(row + c, all);
  } else {
    Numbers<uint32_t, 4> pairs;
    BERTH_UNROLL
    for (int i = 0; i < 4; ++i) pairs.at[i] = pack<T>(values[2 * i], values[2 * i + 1]);
    store_vector(reinterpret_cast<uint32_t*>(row + c), pairs);
  }
}

// ---- LayerNorm. Blocks of four warps; a row lies in the registers of one warp or of all four. Chunk by chunk of 256 columns a warp,
// each lane has eight neighbouring columns, which are the elements of one keep8().

constexpr int kNormThreads = 128;

template <int kWarps_, int kChunks_, bool kVectors_>
struct Layout {
  static constexpr int kWarps = kWarps_, kChunks = kChunks_;
  static constexpr bool kVectors = kVectors_;
  static constexpr int kRows = kNormThreads / 32 / kWarps;  // of a block at a time

  __device__ static int64_t first_row() { return int64_t{blockIdx.x} * kRows + threadIdx.x / 32 / kWarps; }
  __device__ static int unit(int chunk) {  // of eight columns
    return (chunk * kWarps + static_cast<int>(threadIdx.x) / 32 % kWarps) * 32 + static_cast<int>(threadIdx.x) % 32;
  }
  __device__ static float sum(float x) { return block_sum<kWarps>(x); }
};

// Calls f(Layout<...>()) with the layout for rows of so many columns.
template <class Function>
void with_layout(int64_t columns, bool aligned, const Function& f) {
  check(columns > 0 && columns <= 4096, "LayerNorm on CUDA takes rows of up to 4096 columns, not ", columns);
  if (!aligned || columns > 1024) return aligned ? f(Layout<4, 4, true>()) : f(Layout<4, 4, false>());
  if (columns <= 256) return f(Layout<1, 1, true>());
  if (columns <= 512) return f(Layout<1, 2, true>());
  if (columns <= 768) return f(Layout<1, 3, true>());
  f(Layout<1, 4, true>());
}

// A row, and what keys its dropout, if there is any.
struct Place {
  int64_t row, sample;
  int32_t position;
};
__device__ inline Place place_of(const RowArgs& rows, const DropoutArgs& dropout, int64_t row) {
  if (dropout.threshold == 0) return {row, 0, 0};
  return {row, rows.samples[row], rows.positions[row]};
}

// Multiplies what dropout keeps by its scale, the rest becomes zero.
template <class Layout>
__device__ inline void drop(const DropoutArgs& dropout, const Place& place, int chunk, float (&values)[8]) {
  if (dropout.threshold == 0) return;
  const uint32_t bits = keep8(dropout, place.sample, place.position, Layout::unit(chunk));
  BERTH_UNROLL
  for (int i = 0; i < 8; ++i) values[i] = (bits >> i & 1) != 0 ? values[i] * dropout.scale : 0.f;
}

// values: a row, zero beyond its columns; becomes gamma * normalized + beta. Keeps what backward needs.
template <class Layout, class T>
__device__ inline void normalize(const NormArgs<T>& args, int64_t row, float (&values)[Layout::kChunks][8]) {
  const int64_t n = args.rows.columns;
  float total = 0;
  BERTH_UNROLL
  for (int k = 0; k < Layout::kChunks; ++k) BERTH_UNROLL
  for (int i = 0; i < 8; ++i) total += values[k][i];
  const float mean = Layout::sum(total) / static_cast<float>(n);
  float squares = 0;
  BERTH_UNROLL
  for (int k = 0; k < Layout::kChunks; ++k) BERTH_UNROLL
  for (int i = 0; i < 8; ++i) {
    const float d = values[k][i] - mean;
    if (8 * Layout::unit(k) + i < n) squares += d * d;
  }
  const float rstd = rsqrtf(Layout::sum(squares) / static_cast<float>(n) + args.eps);
  if (Layout::unit(0) == 0) args.rstd[row] = rstd;
  BERTH_UNROLL
  for (int k = 0; k < Layout::kChunks; ++k) {
    const int64_t c = 8 * Layout::unit(k);
    const auto gamma = load8<Layout::kVectors>(args.gamma, c, n), beta = load8<Layout::kVectors>(args.beta, c, n);
    BERTH_UNROLL
    for (int i = 0; i < 8; ++i) values[k][i] = (values[k][i] - mean) * rstd;
    store8<Layout::kVectors>(args.normalized + row * n, c, n, values[k]);
    BERTH_UNROLL
    for (int i = 0; i < 8; ++i) values[k][i] = values[k][i] * gamma.at[i] + beta.at[i];
  }
}

// ---- Sums over rows, first stage: a block's rows, into a row of partial sums. Second stage: add_partial_sums.

// How many blocks share rows, at least `least` each, at most `most` blocks; rounded such that each has about as many.
inline int64_t share_rows(int64_t rows, int64_t least, int64_t most) {
  const int64_t each = std::max(least, (rows + most - 1) / most);
  return std::max<int64_t>(1, (rows + each - 1) / each);
}

// partials [kSums, count, columns]: sums[s][c] += sum over i of partials[s, i, c]; null: left out.
struct PartialSums {
  static constexpr int kMost = 3;
  const float* partials;
  int64_t count, columns;
  float* sums[kMost];
};
void add_partial_sums(const PartialSums& args, int sums, Stream stream);

// Column sums in tiles of 256 columns: blocks of eight warps, lane by lane eight columns, warp by warp a row, in slices of rows.
constexpr int kTileThreads = 256, kTileColumns = 256;
constexpr int64_t kTileLeastRows = 64, kTileMostSlices = 128;
inline int64_t tile_slices(int64_t rows) { return share_rows(rows, kTileLeastRows, kTileMostSlices); }
inline dim3 tile_grid(int64_t rows, int64_t columns) {
  return dim3(static_cast<unsigned>((columns + kTileColumns - 1) / kTileColumns), static_cast<unsigned>(tile_slices(rows)));
}

// Calls f(row, first column, values) for the tile's rows, which says the eight values; partials [slices, columns] gets their sums, if
// it is not null.
template <class Function>
__device__ inline void sum_tile(int64_t rows, int64_t columns, float* partials, const Function& f) {
  constexpr int kWarps = kTileThreads / 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int64_t c = int64_t{blockIdx.x} * kTileColumns + threadIdx.x % 32 * 8;
  const int64_t each = (rows + gridDim.y - 1) / gridDim.y, begin = blockIdx.y * each;
  const int64_t end = begin + each < rows ? begin + each : rows;
  float totals[8] = {};
  if (c < columns)
    for (int64_t row = begin + warp; row < end; row += kWarps) {
      float values[8];
      f(row, c, values);
      BERTH_UNROLL
      for (int i = 0; i < 8; ++i) totals[i] += values[i];
    }
  if (partials == nullptr) return;
  __shared__ float all[kWarps][kTileColumns];
  BERTH_UNROLL
  for (int i = 0; i < 8; ++i) all[warp][i * 32 + threadIdx.x % 32] = totals[i];
  __syncthreads();
  const int64_t column = int64_t{blockIdx.x} * kTileColumns + threadIdx.x;
  float total = 0;
  BERTH_UNROLL
  for (int w = 0; w < kWarps; ++w) total += all[w][threadIdx.x % 8 * 32 + threadIdx.x / 8];
  if (column < columns) partials[blockIdx.y * columns + column] = total;
}

// ---- LayerNorm backward.

constexpr int64_t kNormMostBlocks = 264;  // two for each of an H100's multiprocessors
template <class Layout>
int64_t norm_backward_blocks(int64_t rows) {
  return share_rows(rows, Layout::kRows, kNormMostBlocks);
}

// A block's share of rows: calls dy(place, values), which says the gradient of the norm's result, and write(place, chunk, values),
// which takes the gradient of what was normalized, and may change it into what a third column sum is taken of. partials [kSums,
// blocks, columns]: the gradients of gamma and beta, and that.
template <class Layout, int kSums, class T, class DOut, class Write>
__device__ inline void normalize_backward(const NormArgs<T>& args, int64_t rows, float* partials, const DOut& dy,
                                          const Write& write) {
  constexpr bool kVectors = Layout::kVectors;
  constexpr int kChunks = Layout::kChunks;
  const int64_t n = args.rows.columns;
  const float inverse = 1.f / static_cast<float>(n);
  float sums[kSums][kChunks][8] = {};
  for (int64_t row = Layout::first_row(); row < rows; row += int64_t{gridDim.x} * Layout::kRows) {
    Numbers<T, 8> normalized[kChunks];
    float d[kChunks][8];
    BERTH_UNROLL
    for (int k = 0; k < kChunks; ++k) normalized[k] = load8<kVectors>(args.normalized + row * n, 8 * Layout::unit(k), n);
    const float rstd = args.rstd[row];
    const Place place = place_of(args.rows, args.dropout, row);
    dy(place, d);
    float total = 0, dot = 0;
    BERTH_UNROLL
    for (int k = 0; k < kChunks; ++k) {
      const auto gamma = load8<kVectors>(args.gamma, 8 * Layout::unit(k), n);
      BERTH_UNROLL
      for (int i = 0; i < 8; ++i) {
        const float x = to_float(normalized[k].at[i]), g = d[k][i] * gamma.at[i];
        sums[0][k][i] += d[k][i] * x;
        sums[1][k][i] += d[k][i];
        total += g;
        dot += g * x;
        d[k][i] = g;
      }
    }
    const float mean = Layout::sum(total) * inverse, projection = Layout::sum(dot) * inverse;
    BERTH_UNROLL
    for (int k = 0; k < kChunks; ++k) {
      BERTH_UNROLL
      for (int i = 0; i < 8; ++i) d[k][i] = (d[k][i] - mean - to_float(normalized[k].at[i]) * projection) * rstd;
      write(place, k, d[k]);
      if constexpr (kSums > 2) {
        BERTH_UNROLL
        for (int i = 0; i < 8; ++i)
          if (8 * Layout::unit(k) + i < n) sums[2][k][i] += d[k][i];
      }
    }
  }

  // The block's rows of each sum, warp after warp.
  BERTH_UNROLL
  for (int s = 0; s < kSums; ++s) {
    float* to = partials + (s * int64_t{gridDim.x} + blockIdx.x) * n;
    BERTH_UNROLL
    for (int k = 0; k < kChunks; ++k) {
      if constexpr (Layout::kRows == 1) {
        store8<kVectors>(to, 8 * Layout::unit(k), n, sums[s][k]);
      } else {
        __shared__ float all[Layout::kRows][256];
        __syncthreads();  // the chunk before may still be read
        BERTH_UNROLL
        for (int i = 0; i < 8; ++i) all[threadIdx.x / 32][i * 32 + threadIdx.x % 32] = sums[s][k][i];
        __syncthreads();
        for (int c = static_cast<int>(threadIdx.x); c < 256 && 256 * k + c < n; c += kNormThreads) {
          float sum = 0;
          BERTH_UNROLL
          for (int w = 0; w < Layout::kRows; ++w) sum += all[w][c % 8 * 32 + c / 8];
          to[256 * k + c] = sum;
        }
      }
    }
  }
}

}  // namespace berth::train::cuda
