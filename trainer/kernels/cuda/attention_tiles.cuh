// What a block of attention does with tiles of rows in shared memory, on tensor cores (TensorTiles) and without (PlainTiles). Both
// have the same functions, so that the kernels are written once:
//
// A block has 4 warps; a tile has kRows rows of one head; a warp owns kWarpRows rows of the tile that the block works for, and keeps
// products of them with other tiles in registers: Product<N>, kWarpRows x N in fp32. A thread holds two rows of it, row(0) and row(1),
// and of each N / kRowLanes columns, column(j) = column(0) + kOffset(j); the other columns of a row are in the kRowLanes - 1 lanes
// beside it.
//
// Dropout's mask is kept as threads need it: 64 keys of a query are a word, of which each of the row's lanes has a part (Mask), bit j
// for its column j. 16 keys are 16 / kRowLanes bits of a part: so many Philox counters, whose other words are the same bits of the
// same thread's other columns in 64 keys that begin where a group of random numbers does (trainer/kernels/dropout.h).
#pragma once

#include "trainer/kernels/cuda/mma.cuh"

namespace berth::train::cuda {

constexpr int kAttentionThreads = 128;

using Float4 = Numbers<float, 4>;

template <int N>
struct TensorProduct {
  static constexpr int kColumns = N / 4;  // of a thread
  float x[N / 8][4];
  __device__ float& at(int i, int j) { return x[j / 2][2 * i + j % 2]; }
};

// Rows in T, 64 to a tile; mma of 16 x 8 x 16. 16-byte parts of a row change places (at()), so that neither the copies to a tile nor
// ldmatrix, which reads the same part of 8 rows, meet twice in a bank.
template <class Type, int HeadSize>
struct TensorTiles {
  using T = Type;
  static constexpr int kHeadSize = HeadSize, kParts = HeadSize / 8;  // 16-byte parts of a row
  static constexpr int kRows = 64, kWarpRows = 16, kRowLanes = 4;
  static constexpr int kStages = 2;  // the next tiles are copied while one is worked on
  // Columns of a product at a time: what registers hold.
  static constexpr int kForwardColumns = 64, kBackwardColumns = 32;
  using Mask = uint16_t;

  struct alignas(128) Tile {
    uint16_t x[kRows * HeadSize];
  };
  struct Scratch {};
  struct Rows {  // the warp's rows of a tile
    FragmentA x[HeadSize / 16];
  };
  template <int N>
  using Product = TensorProduct<N>;

  // Of 4 warps: a block of more of them has each 4 work for a tile of their own.
  static __device__ int thread() { return static_cast<int>(threadIdx.x % kAttentionThreads); }
  static __device__ int warp() { return thread() / 32; }
  static __device__ int lane() { return static_cast<int>(threadIdx.x % 32); }
  static __device__ int row(int i) { return warp() * 16 + lane() / 4 + 8 * i; }
  static __device__ int column(int j) { return lane() % 4 * 2 + kOffset(j); }
  static __device__ constexpr int kOffset(int j) { return 8 * (j / 2) + j % 2; }

  // Where the word of 64 keys has the bit of a key.
  static __device__ int mask_bit(int key) { return key % 8 / 2 * 16 + key / 8 * 2 + key % 2; }

  template <class AnyTile>
  static __device__ auto* at(AnyTile& tile, int row, int part) {
    const int swapped = part ^ (kParts == 8 ? row % 8 : row / 2 % 4);
    return &tile.x[row * HeadSize + swapped * 8];
  }

  // Begins to copy rows of global memory, zeros for those from `rows` on.
  static __device__ void load(Tile& tile, const T* from, int64_t stride, int rows) {
    constexpr int kAtOnce = kAttentionThreads / kParts;  // rows; a multiple of what at() repeats after
    const int row = thread() / kParts, part = thread() % kParts;
    const T* next = from + row * stride + part * 8;
    BERTH_UNROLL
    for (int i = 0; i < kRows; i += kAtOnce, next += kAtOnce * stride)
      copy_async<16>(at(tile, row, part) + i * HeadSize, row + i < rows ? next : from, row + i < rows);
  }
  // The same for kRows single values.
  template <class Value>
  static __device__ void load_values(Value* to, const Value* from, int64_t stride, int rows) {
    const int row = thread();
    if (row < kRows) copy_async<sizeof(Value)>(&to[row], from + (row < rows ? row * stride : 0), row < rows);
  }
  static __device__ void wait() { wait_for_copies(); }

  static __device__ Rows rows(const Tile& tile) {
    Rows rows;
    const int row = warp() * 16 + lane() % 16;
    BERTH_UNROLL
    for (int k = 0; k < HeadSize / 16; ++k) load_matrices(rows.x[k].x, at(tile, row, 2 * k + lane() / 16));
    return rows;
  }

  // Of each row with the same row of `other` in global memory, where the warp's first row is at other + row(0) * stride.
  static __device__ void row_dots(const Rows& rows, const T* other, int64_t stride, int valid, float (&dots)[2]) {
    dots[0] = dots[1] = 0;
    BERTH_UNROLL
    for (int i = 0; i < 2; ++i) {
      if (row(i) < valid) {
        BERTH_UNROLL
        for (int k = 0; k < HeadSize / 8; ++k) {
          const uint32_t a = rows.x[k / 2].x[i + k % 2 * 2];
          const auto b = *reinterpret_cast<const uint32_t*>(other + row(i) * stride + 8 * k + lane() % 4 * 2);
          dots[i] += to_float(T{static_cast<uint16_t>(a)}) * to_float(T{static_cast<uint16_t>(b)});
          dots[i] += to_float(T{static_cast<uint16_t>(a >> 16)}) * to_float(T{static_cast<uint16_t>(b >> 16)});
        }
      }
      dots[i] = row_sum(dots[i]);
    }
  }

  static __device__ float row_sum(float x) {
    x += __shfl_xor_sync(kAllLanes, x, 1);
    return x + __shfl_xor_sync(kAllLanes, x, 2);
  }
  static __device__ float row_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, 1));
    return fmaxf(x, __shfl_xor_sync(kAllLanes, x, 2));
  }

  // a b^T for rows first .. first + N of b.
  template <int N>
  static __device__ void dots(Product<N>& product, const Rows& a, const Tile& b, int first) {
    BERTH_UNROLL
    for (int j = 0; j < N / 8; ++j) {
      BERTH_UNROLL
      for (int i = 0; i < 4; ++i) product.x[j][i] = 0;
      BERTH_UNROLL
      for (int k = 0; k < HeadSize / 32; ++k) {
        uint32_t x[4];
        load_matrices(x, at(b, first + 8 * j + lane() % 8, 4 * k + lane() / 8));
        multiply_add(product.x[j], a.x[2 * k], FragmentB{{x[0], x[1]}}, T{});
        multiply_add(product.x[j], a.x[2 * k + 1], FragmentB{{x[2], x[3]}}, T{});
      }
    }
  }

  // sums += a b for rows first .. first + 16 of b, columns `part` * 8 and on.
  template <int N>
  static __device__ void add_rows(Product<N>& sums, const FragmentA& a, const Tile& b, int first, int part = 0) {
    BERTH_UNROLL
    for (int j = 0; j < N / 16; ++j) {
      uint32_t x[4];
      load_matrices_transposed(x, at(b, first + lane() % 16, part + 2 * j + lane() / 16));
      multiply_add(sums.x[2 * j], a, FragmentB{{x[0], x[1]}}, T{});
      multiply_add(sums.x[2 * j + 1], a, FragmentB{{x[2], x[3]}}, T{});
    }
  }
  // sums += weights b for rows first .. first + N of b; weights are rounded to T.
  template <int N>
  static __device__ void add_weighted(Product<HeadSize>& sums, const Product<N>& weights, const Tile& b, int first, Scratch&) {
    BERTH_UNROLL
    for (int k = 0; k < N / 16; ++k) {
      const float(&left)[4] = weights.x[2 * k], (&right)[4] = weights.x[2 * k + 1];
      const FragmentA a{
          {pack<T>(left[0], left[1]), pack<T>(left[2], left[3]), pack<T>(right[0], right[1]), pack<T>(right[2], right[3])}};
      add_rows(sums, a, b, first + 16 * k);
    }
  }

  // The product, rounded to T, to the warp's rows of a tile: columns `part` * 8 and on.
  template <int N>
  static __device__ void write(Tile& tile, const Product<N>& product, int part) {
    BERTH_UNROLL
    for (int j = 0; j < N / 8; ++j) {
      BERTH_UNROLL
      for (int i = 0; i < 2; ++i) {
        auto* const to = reinterpret_cast<uint32_t*>(at(tile, row(i), part + j) + lane() % 4 * 2);
        *to = pack<T>(product.x[j][2 * i], product.x[j][2 * i + 1]);
      }
    }
  }
  // Rows below `rows` to global memory, columns `part` * 8 and on. The same place in `staging` is overwritten.
  template <int N>
  static __device__ void store_rows(Tile& staging, const Product<N>& sums, T* to, int64_t stride, int rows, int part = 0) {
    __syncwarp();
    write(staging, sums, part);
    __syncwarp();
    BERTH_UNROLL
    for (int i = 0; i < kWarpRows * (N / 8) / 32; ++i) {
      const int index = lane() + 32 * i, row = warp() * kWarpRows + index / (N / 8), from = part + index % (N / 8);
      if (row < rows)
        store_vector(to + row * stride + from * 8, load_vector<8>(reinterpret_cast<const T*>(at(staging, row, from))));
    }
  }
};

// Rows in fp32, 32 to a tile, and fp32 multiplications: what agrees with the CPU to rounding, and older GPUs.
template <class Type, int HeadSize>
struct PlainTiles {
  using T = Type;
  static constexpr int kHeadSize = HeadSize;
  static constexpr int kRows = 32, kWarpRows = 8, kRowLanes = 8;
  static constexpr int kStages = 1;
  static constexpr int kForwardColumns = 32, kBackwardColumns = 32;
  using Mask = uint8_t;

  struct Tile {
    alignas(16) float x[kRows][HeadSize + 4];  // + 4: 8 rows' 16 bytes at the same column lie in different banks
  };
  struct Scratch {
    alignas(16) float x[kRows][kRows + 4];
  };
  using Rows = const Tile*;
  template <int N>
  struct Product {
    static constexpr int kColumns = N / 8;
    float x[2][N / 8];
    __device__ float& at(int i, int j) { return x[i][j]; }
  };

  static __device__ int lane() { return static_cast<int>(threadIdx.x % 32); }
  static __device__ int row(int i) { return static_cast<int>(threadIdx.x / 8) * 2 + i; }
  static __device__ int column(int j) { return lane() % 8 + kOffset(j); }
  static __device__ constexpr int kOffset(int j) { return 8 * j; }
  static __device__ int mask_bit(int key) { return key % 8 * 8 + key / 8; }

  static __device__ void load(Tile& tile, const T* from, int64_t stride, int rows) {
    constexpr int kElements = 16 / sizeof(T), kParts = HeadSize / kElements;
    BERTH_UNROLL
    for (int i = 0; i < kRows * kParts / kAttentionThreads; ++i) {
      const int index = static_cast<int>(threadIdx.x) + i * kAttentionThreads, row = index / kParts;
      const int column = index % kParts * kElements;
      Numbers<T, kElements> part{};
      if (row < rows) part = load_vector<kElements>(from + row * stride + column);
      BERTH_UNROLL
      for (int e = 0; e < kElements; ++e) tile.x[row][column + e] = to_float(part.at[e]);
    }
  }
  template <class Value>
  static __device__ void load_values(Value* to, const Value* from, int64_t stride, int rows) {
    const int row = static_cast<int>(threadIdx.x);
    if (row < kRows) to[row] = row < rows ? from[row * stride] : Value{};
  }
  static __device__ void wait() {}

  static __device__ Rows rows(const Tile& tile) { return &tile; }

  static __device__ void row_dots(Rows rows, const T* other, int64_t stride, int valid, float (&dots)[2]) {
    BERTH_UNROLL
    for (int i = 0; i < 2; ++i) {
      dots[i] = 0;
      if (row(i) < valid)
        for (int c = lane() % 8; c < HeadSize; c += 8) dots[i] += rows->x[row(i)][c] * to_float(other[row(i) * stride + c]);
      dots[i] = row_sum(dots[i]);
    }
  }

  static __device__ float row_sum(float x) {
    for (int d = 1; d < 8; d *= 2) x += __shfl_xor_sync(kAllLanes, x, d);
    return x;
  }
  static __device__ float row_max(float x) {
    for (int d = 1; d < 8; d *= 2) x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, d));
    return x;
  }

  template <int N>
  static __device__ void dots(Product<N>& product, Rows a, const Tile& b, int first) {
    BERTH_UNROLL
    for (int i = 0; i < 2; ++i) {
      BERTH_UNROLL
      for (int j = 0; j < N / 8; ++j) product.x[i][j] = 0;
    }
    BERTH_UNROLL
    for (int c = 0; c < HeadSize; c += 4) {
      const Float4 left[2] = {load_vector<4>(&a->x[row(0)][c]), load_vector<4>(&a->x[row(1)][c])};
      BERTH_UNROLL
      for (int j = 0; j < N / 8; ++j) {
        const auto right = load_vector<4>(&b.x[first + column(j)][c]);
        BERTH_UNROLL
        for (int e = 0; e < 4; ++e) {
          product.x[0][j] += left[0].at[e] * right.at[e];
          product.x[1][j] += left[1].at[e] * right.at[e];
        }
      }
    }
  }

  // Of the sums, a thread has 4 neighbouring columns in each 32: its j-th is column_of_sum(j).
  static __device__ int column_of_sum(int j) { return j / 4 * 32 + lane() % 8 * 4 + j % 4; }

  template <int N>
  static __device__ void add_weighted(Product<HeadSize>& sums, Product<N>& weights, const Tile& b, int first, Scratch& scratch) {
    __syncwarp();  // what other lanes still read
    BERTH_UNROLL
    for (int i = 0; i < 2; ++i) {
      BERTH_UNROLL
      for (int j = 0; j < N / 8; ++j) scratch.x[row(i)][column(j)] = weights.x[i][j];
    }
    __syncwarp();
    BERTH_UNROLL
    for (int k = 0; k < N; k += 4) {
      const Float4 left[2] = {load_vector<4>(&scratch.x[row(0)][k]), load_vector<4>(&scratch.x[row(1)][k])};
      BERTH_UNROLL
      for (int e = 0; e < 4; ++e) {
        BERTH_UNROLL
        for (int part = 0; part < HeadSize / 32; ++part) {
          const auto right = load_vector<4>(&b.x[first + k + e][column_of_sum(4 * part)]);
          BERTH_UNROLL
          for (int c = 0; c < 4; ++c) {
            sums.x[0][4 * part + c] += left[0].at[e] * right.at[c];
            sums.x[1][4 * part + c] += left[1].at[e] * right.at[c];
          }
        }
      }
    }
  }

  static __device__ void store_rows(Tile&, const Product<HeadSize>& sums, T* to, int64_t stride, int rows) {
    BERTH_UNROLL
    for (int i = 0; i < 2; ++i)
      if (row(i) < rows) {
        BERTH_UNROLL
        for (int j = 0; j < HeadSize / 8; ++j) from_float(sums.x[i][j], to[row(i) * stride + column_of_sum(j)]);
      }
  }
};

}  // namespace berth::train::cuda
