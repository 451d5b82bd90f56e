// What attention's kernels share beside tiles: their arguments, where a block works, and what the host checks and launches.
#pragma once

#include "trainer/kernels/cuda/attention.h"
#include "trainer/kernels/cuda/attention_tiles.cuh"

namespace berth::train::cuda {

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

template <class T>
struct ForwardArgs {
  AttentionShape shape;
  AttentionInputs<T> inputs;
  T* out;
  int64_t out_stride;
  float* lse;
  uint64_t* mask;
};

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

// First queries have kernels of their own (attention_first_query.cu). HeadSize: 32 or 64.
template <class T, int HeadSize>
void launch_first_query_forward(const ForwardArgs<T>& args, Stream stream);
template <class T, int HeadSize>
void launch_first_query_backward(const BackwardArgs<T>& args, Stream stream);

// ---- On the host.

inline bool has_tensor_cores() {
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
inline dim3 blocks(const AttentionShape& shape, int64_t tile_rows) {
  const int64_t tiles = (shape.max_seqlen + tile_rows - 1) / tile_rows, all = shape.batch * shape.heads * tiles;
  if (all > INT32_MAX) fail(ExitCode::kInternal, "attention: ", shape.batch, " samples are too many for one launch");
  return dim3(static_cast<unsigned>(all));
}

}  // namespace berth::train::cuda
