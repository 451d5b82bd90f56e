#include "trainer/kernels/cuda/kernels.h"
#include "trainer/kernels/cuda/rows.cuh"

namespace berth::train::cuda {
namespace {

constexpr int kWarps = 8;  // of a block, which takes 256 columns of a sample; each warp takes every eighth token

// The first of the greatest numbers, as torch.max has it: NaN is greater than all.
struct Greatest {
  float value = 0;
  int32_t token = -1;  // none yet
  __device__ void meet(float other, int32_t other_token) {
    const bool both_nan = other != other && value != value;
    const bool greater = other > value || (other != other && !both_nan), equal = other == value || both_nan;
    if (other_token >= 0 && (token < 0 || greater || (equal && other_token < token))) {
      value = other;
      token = other_token;
    }
  }
};

// chosen: null for the mean.
template <bool kMax, bool kVectors, class T>
__global__ void __launch_bounds__(kWarps * 32)
    pool_forward_kernel(const T* x, const int32_t* cu_seqlens, int64_t columns, T* out, int32_t* chosen) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t sample = blockIdx.x, c = int64_t{blockIdx.y} * 256 + 8 * lane;
  const int32_t begin = cu_seqlens[sample], end = cu_seqlens[sample + 1];
  Greatest greatest[8];
  float sums[8] = {};
#ifdef __CUDACC__
#pragma unroll 4
#endif
  for (int32_t token = begin + warp; token < end; token += kWarps) {
    const auto given = load8<kVectors>(x + token * columns, c, columns);
    BERTH_UNROLL
    for (int i = 0; i < 8; ++i) {
      if constexpr (kMax)
        greatest[i].meet(to_float(given.at[i]), token);
      else
        sums[i] += to_float(given.at[i]);
    }
  }
  __shared__ float values[kWarps][8][32];
  __shared__ int32_t tokens[kMax ? kWarps : 1][8][32];
  BERTH_UNROLL
  for (int i = 0; i < 8; ++i) {
    values[warp][i][lane] = kMax ? greatest[i].value : sums[i];
    if constexpr (kMax) tokens[warp][i][lane] = greatest[i].token;
  }
  __syncthreads();
  if (warp > 0) return;
  BERTH_UNROLL
  for (int i = 0; i < 8; ++i) {
    for (int w = 1; w < kWarps; ++w) {
      if constexpr (kMax)
        greatest[i].meet(values[w][i][lane], tokens[w][i][lane]);
      else
        sums[i] += values[w][i][lane];
    }
    if constexpr (kMax) {
      sums[i] = greatest[i].value;
      if (c + i < columns) chosen[sample * columns + c + i] = greatest[i].token;
    } else {
      sums[i] /= static_cast<float>(end - begin);
    }
  }
  store8<kVectors>(out + sample * columns, c, columns, sums);
}

template <bool kMax, bool kVectors, class T>
__global__ void __launch_bounds__(kWarps * 32)
    pool_backward_kernel(const T* d_out, const int32_t* cu_seqlens, const int32_t* chosen, int64_t columns, T* dx) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t sample = blockIdx.x, c = int64_t{blockIdx.y} * 256 + 8 * lane;
  const int32_t begin = cu_seqlens[sample], end = cu_seqlens[sample + 1];
  const auto given = load8<kVectors>(d_out + sample * columns, c, columns);
  Numbers<int32_t, 8> tokens{};
  if constexpr (kMax) tokens = load8<false>(chosen + sample * columns, c, columns);
  float shares[8];
  BERTH_UNROLL
  for (int i = 0; i < 8; ++i) shares[i] = kMax ? to_float(given.at[i]) : to_float(given.at[i]) / static_cast<float>(end - begin);
  for (int32_t token = begin + warp; token < end; token += kWarps) {
    float d[8];
    BERTH_UNROLL
    for (int i = 0; i < 8; ++i) d[i] = !kMax || tokens.at[i] == token ? shares[i] : 0.f;
    store8<kVectors>(dx + token * columns, c, columns, d);
  }
}

dim3 grid_of(const PoolArgs& args) {
  return dim3(static_cast<unsigned>(args.samples), static_cast<unsigned>((args.columns + 255) / 256));
}

}  // namespace

template <class T>
void pool_forward(const PoolArgs& args, const T* x, T* out, Stream stream) {
  if (args.samples == 0) return;
  const bool aligned = rows_are_aligned(x, args.columns) && rows_are_aligned(out, args.columns),
             max = args.pooling == Pooling::kMax;
  launch(aligned ? max ? pool_forward_kernel<true, true, T> : pool_forward_kernel<false, true, T>
         : max ? pool_forward_kernel<true, false, T>
                 : pool_forward_kernel<false, false, T>,
         grid_of(args), kWarps * 32, 0, stream, x, args.cu_seqlens, args.columns, out, args.chosen);
}

template <class T>
void pool_backward(const PoolArgs& args, const T* d_out, T* dx, Stream stream) {
  if (args.samples == 0) return;
  const bool aligned = rows_are_aligned(d_out, args.columns) && rows_are_aligned(dx, args.columns),
             max = args.pooling == Pooling::kMax;
  launch(aligned ? max ? pool_backward_kernel<true, true, T> : pool_backward_kernel<false, true, T>
         : max ? pool_backward_kernel<true, false, T>
                 : pool_backward_kernel<false, false, T>,
         grid_of(args), kWarps * 32, 0, stream, d_out, args.cu_seqlens, args.chosen, args.columns, dx);
}

#define BERTH_POOLING_OF(T)                                          \
  template void pool_forward(const PoolArgs&, const T*, T*, Stream); \
  template void pool_backward(const PoolArgs&, const T*, T*, Stream);
BERTH_POOLING_OF(float)
BERTH_POOLING_OF(Bf16)
BERTH_POOLING_OF(Fp16)

}  // namespace berth::train::cuda
