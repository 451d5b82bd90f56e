// What the kernels of this room share: number formats, random numbers and dropout masks, vector access, sums in a fixed order, and
// the launch. nvcc compiles these sources for the GPU, g++ for the CPU (on_cpu.h).
#pragma once

#include <cstdint>
#include <cstring>

#include "data/check.h"
#include "trainer/kernels/cpu/args.h"
#include "trainer/kernels/cuda/stream.h"

#ifdef __CUDACC__
#define BERTH_UNROLL _Pragma("unroll")
// The block's dynamic shared memory, as bytes.
#define BERTH_DYNAMIC_SHARED(name) extern __shared__ __align__(1024) unsigned char name[]
#else
#include "trainer/kernels/cuda/on_cpu.h"
#define BERTH_UNROLL _Pragma("GCC unroll 16")
#define BERTH_DYNAMIC_SHARED(name) unsigned char* const name = on_cpu::running.dynamic_shared
#endif

namespace berth::train::cuda {

using kernels::Bf16;
using kernels::DropoutArgs;
using kernels::EmbeddingArgs;
using kernels::Fp16;
using kernels::NormArgs;
using kernels::RowArgs;

constexpr uint32_t kAllLanes = 0xffffffffu;

// Launches kernel(arguments...) with `shared` bytes of dynamic shared memory.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared, Stream stream, Arguments... arguments) {
#ifdef __CUDACC__
  cudaError_t error = cudaSuccess;
  if (shared > 48 << 10)  // more must be asked for
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared));
  if (error == cudaSuccess) {
    kernel<<<grid, block, shared, stream>>>(static_cast<Parameters>(arguments)...);
    error = cudaGetLastError();
  }
  if (error != cudaSuccess) fail(ExitCode::kInternal, "CUDA refused to launch a kernel: ", cudaGetErrorString(error));
#else
  on_cpu::queue(reinterpret_cast<const void*>(kernel), stream,
                [&] { on_cpu::launch(grid, block, shared, [&] { kernel(static_cast<Parameters>(arguments)...); }); });
#endif
}

// ---- Number formats, for kernels and hosts: results rounded to nearest even; NaN stays NaN.

__host__ __device__ inline float float_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}
__host__ __device__ inline uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

__host__ __device__ inline float to_float(float x) { return x; }
__host__ __device__ inline float to_float(Bf16 x) { return float_of(uint32_t{x.bits} << 16); }
__host__ __device__ inline float to_float(Fp16 x) {
#ifdef __CUDA_ARCH__
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(x.bits));
  return result;
#else
  // Exponent and fraction in fp32's places, times what the exponents' zeros differ by: exact for subnormal numbers as well.
  const uint32_t sign = (x.bits & 0x8000u) << 16, rest = x.bits & 0x7fffu;
  if (rest >= 0x7c00u) return float_of(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
  return float_of(sign | bits_of(float_of(rest << 13) * 0x1p112f));
#endif
}

__host__ __device__ inline void from_float(float x, float& to) { to = x; }
__host__ __device__ inline void from_float(float x, Bf16& to) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(to.bits) : "f"(x));
#else
  const uint32_t bits = bits_of(x);
  to.bits = static_cast<uint16_t>(x != x ? bits >> 16 | 0x40u : (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
#endif
}
__host__ __device__ inline void from_float(float x, Fp16& to) {
#ifdef __CUDA_ARCH__
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(to.bits) : "f"(x));
#else
  const uint32_t bits = bits_of(x), sign = bits >> 16 & 0x8000u, rest = bits & 0x7fffffffu;
  uint32_t half;
  if (rest > 0x7f800000u) {
    half = 0x7e00u;
  } else if (rest >= 0x477ff000u) {  // 65520, from where it rounds to infinity
    half = 0x7c00u;
  } else if (rest < 0x38800000u) {  // subnormal: fp32's own addition rounds at 2^-24
    half = bits_of(float_of(rest) + 0.5f) - 0x3f000000u;
  } else {
    half = (rest + 0xfffu + (rest >> 13 & 1u) - 0x38000000u) >> 13;
  }
  to.bits = static_cast<uint16_t>(sign | half);
#endif
}

// Two 16-bit numbers in a register, `low` in the low half: what vectors and matrix instructions are made of.
template <class T>
__device__ inline uint32_t pack(float low, float high) {
  T a, b;
  from_float(low, a);
  from_float(high, b);
  return uint32_t{b.bits} << 16 | a.bits;
}
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
template <>
__device__ inline uint32_t pack<Bf16>(float low, float high) {
  uint32_t both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
}
template <>
__device__ inline uint32_t pack<Fp16>(float low, float high) {
  uint32_t both;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
}
#endif

// ---- Vector access: N numbers, moved 16 bytes at a time where they are that many.

template <class T, int N>
struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Numbers {
  T at[N];
};

// p: aligned to the vector.
template <int N, class T>
__device__ inline Numbers<T, N> load_vector(const T* p) {
#ifndef __CUDACC__
  on_cpu::check_aligned(p, alignof(Numbers<T, N>));
#endif
  return *reinterpret_cast<const Numbers<T, N>*>(p);
}
template <int N, class T>
__device__ inline void store_vector(T* p, const Numbers<T, N>& values) {
#ifndef __CUDACC__
  on_cpu::check_aligned(p, alignof(Numbers<T, N>));
#endif
  *reinterpret_cast<Numbers<T, N>*>(p) = values;
}
// Whether vectors of 8 may be used on rows of so many columns that begin there.
template <class T>
bool rows_are_aligned(const T* rows, int64_t columns) {
  return columns % 8 == 0 && reinterpret_cast<uintptr_t>(rows) % 16 == 0;
}

// ---- Random numbers: Philox4x32-10, as data/philox.h.

struct PhiloxWords {
  uint32_t at[4];
};
__device__ inline PhiloxWords philox(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t key0, uint32_t key1) {
  BERTH_UNROLL
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c0, p1 = uint64_t{0xCD9E8D57u} * c2;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ key0;
    c1 = static_cast<uint32_t>(p1);
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ key1;
    c3 = static_cast<uint32_t>(p0);
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// A random word's decision.
__device__ inline bool keeps(uint32_t word, const DropoutArgs& dropout) { return word >> 8 >= dropout.threshold; }

// Which of the elements 8 unit .. 8 unit + 7 of a row of numbers (trainer/kernels/dropout.h) dropout keeps, bit i for the i-th. All
// lanes of a warp call it, with the same row for each 8 lanes that begin at a multiple of 8, and units of which the first of those
// lanes' is a multiple of 8 and the others' follow.
//
// The 8 elements of a lane are one word each of 8 counters, whose other words belong to the lanes 2, 4 and 6 further. So each lane
// draws two counters, and the four tell each other their decisions: one Philox call serves 4 elements, though each lane keeps 8 that
// lie side by side, a vector. What it costs, for an element: 5 wide multiplications, 5 three-way xors, 2 additions to the keys and
// about 3 instructions for the decision. A LayerNorm in bf16 moves 8 bytes an element: at 3.3 TB/s, an H100 (132 multiprocessors,
// 1.75 GHz) has time for 72 instructions an element, of which 18 wide multiplications.
__device__ inline uint32_t keep8(const DropoutArgs& dropout, int64_t sample, int32_t position, int64_t unit) {
  const auto u = static_cast<uint32_t>(unit);
  const auto id = static_cast<uint64_t>(sample);
  const uint32_t word = u % 8 / 2;  // this lane's, and the first of its two counters halved
  const uint32_t counter = u / 8 * 16 + u % 2 * 8 + word * 2;
  uint32_t bits = 0;  // counter i's decision about word w: bit 8 w + i
  BERTH_UNROLL
  for (uint32_t i = 0; i < 2; ++i) {
    const PhiloxWords random = philox(static_cast<uint32_t>(id), static_cast<uint32_t>(id >> 32), static_cast<uint32_t>(position),
                                      counter + i, dropout.key0, dropout.key1);
    BERTH_UNROLL
    for (uint32_t w = 0; w < 4; ++w) bits |= static_cast<uint32_t>(keeps(random.at[w], dropout)) << (8 * w + i);
  }
  bits <<= 2 * word;
  bits |= __shfl_xor_sync(kAllLanes, bits, 2);
  bits |= __shfl_xor_sync(kAllLanes, bits, 4);
  return bits >> (8 * word) & 0xffu;
}

// ---- Sums: the same order whatever the timing, and the same bits in every lane.

__device__ inline float warp_sum(float x) {
  BERTH_UNROLL
  for (int distance = 16; distance > 0; distance /= 2) x += __shfl_xor_sync(kAllLanes, x, distance);
  return x;
}
__device__ inline float warp_max(float x) {
  BERTH_UNROLL
  for (int distance = 16; distance > 0; distance /= 2) x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, distance));
  return x;
}

// Over a block of kWarps warps, all of whose threads call it.
template <int kWarps, class Add>
__device__ inline float combine_warps(float x, const Add& add) {
  if constexpr (kWarps > 1) {
    __shared__ float parts[kWarps];
    __syncthreads();  // what was combined before may still be read
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
    __syncthreads();
    x = parts[0];
    BERTH_UNROLL
    for (int i = 1; i < kWarps; ++i) x = add(x, parts[i]);
  }
  return x;
}
template <int kWarps>
__device__ inline float block_sum(float x) {
  return combine_warps<kWarps>(warp_sum(x), [](float a, float b) { return a + b; });
}
template <int kWarps>
__device__ inline float block_max(float x) {
  return combine_warps<kWarps>(warp_max(x), [](float a, float b) { return fmaxf(a, b); });
}

}  // namespace berth::train::cuda
