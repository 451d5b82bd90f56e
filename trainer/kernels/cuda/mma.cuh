// What tensor cores need, each as the GPU's instruction and as a function of the warp's fibers: ldmatrix, mma, and copies to shared
// memory that run while the thread goes on. For sm_80 and newer; compiled for older GPUs, they are not to be called.
#pragma once

#ifndef __CUDACC__
#include <vector>
#endif

#include "trainer/kernels/cuda/device.cuh"

namespace berth::train::cuda {

// Operands of mma for lane l = 4 r + c: a register holds two neighbouring elements of T.
struct FragmentA {  // 16 x 16: rows r, r + 8, r, r + 8; columns 2c, 2c, 2c + 8, 2c + 8
  uint32_t x[4];
};
struct FragmentB {  // 16 x 8, by columns: column r; rows 2c, 2c + 8
  uint32_t x[2];
};
// Of sums, 16 x 8: {row r, column 2c}, {r, 2c + 1}, {r + 8, 2c}, {r + 8, 2c + 1}.

#ifdef __CUDACC__

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
#define BERTH_SM80(code) code
#else
#define BERTH_SM80(code) __trap()
#endif

// Four 8 x 8 matrices of 16-bit elements from shared memory: lane l gives the 16-byte row l % 8 of matrix l / 8, and gets elements
// (l / 4, 2 (l % 4)) and the next of each.
__device__ __forceinline__ void load_matrices(uint32_t (&x)[4], const void* row) {
  [[maybe_unused]] const auto at = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  BERTH_SM80(asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                          : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                          : "r"(at)
                          : "memory"));
}
// The same, of the transposed matrices.
__device__ __forceinline__ void load_matrices_transposed(uint32_t (&x)[4], const void* row) {
  [[maybe_unused]] const auto at = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  BERTH_SM80(asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                          : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                          : "r"(at)
                          : "memory"));
}

// sums += a b, in fp32.
__device__ __forceinline__ void multiply_add(float (&sums)[4], const FragmentA& a, const FragmentB& b, Bf16) {
  BERTH_SM80(
      asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
          : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
          : "r"(a.x[0]), "r"(a.x[1]), "r"(a.x[2]), "r"(a.x[3]), "r"(b.x[0]), "r"(b.x[1])));
}
__device__ __forceinline__ void multiply_add(float (&sums)[4], const FragmentA& a, const FragmentB& b, Fp16) {
  BERTH_SM80(
      asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
          : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
          : "r"(a.x[0]), "r"(a.x[1]), "r"(a.x[2]), "r"(a.x[3]), "r"(b.x[0]), "r"(b.x[1])));
}

// Begins to copy Bytes (4, 8 or 16, both sides aligned to them) to shared memory; zeros instead if not `inside`, and `from` is not
// read then.
template <int Bytes>
__device__ __forceinline__ void copy_async(void* to, const void* from, bool inside) {
  [[maybe_unused]] const auto at = static_cast<uint32_t>(__cvta_generic_to_shared(to));
  [[maybe_unused]] const int bytes = inside ? Bytes : 0;
  if constexpr (Bytes == 16) {  // past the first cache
    BERTH_SM80(asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(bytes) : "memory"));
  } else {
    BERTH_SM80(asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(at), "l"(from), "n"(Bytes), "r"(bytes)
                            : "memory"));
  }
}
// Until all that this thread began to copy has arrived.
__device__ __forceinline__ void wait_for_copies() { BERTH_SM80(asm volatile("cp.async.wait_all;" ::: "memory")); }

#undef BERTH_SM80

#else  // on the CPU

namespace on_cpu {

// Elements as the registers hold them.
inline uint16_t half_of(uint32_t x, int i) { return static_cast<uint16_t>(x >> 16 * i); }

template <bool Transposed>
struct Matrices {
  const uint16_t* row;
  uint32_t x[4];
  Site site;
  static void meet(Matrices* const* lanes) {
    for (int m = 0; m < 4; ++m) {
      unsigned banks = 0;  // of 16 bytes
      for (int i = 0; i < 8; ++i) banks |= 1u << reinterpret_cast<uintptr_t>(lanes[8 * m + i]->row) / 16 % 8;
      if (banks != 0xFF) fault("rows of a matrix lie in the same bank: it takes as long as two", lanes[0]->site);
    }
    for (int l = 0; l < 32; ++l)
      for (int m = 0; m < 4; ++m) {
        const int r = l / 4, c = l % 4 * 2;
        const auto element = [&](int i, int j) { return uint32_t{lanes[8 * m + i]->row[j]}; };
        lanes[l]->x[m] = Transposed ? element(c, r) | element(c + 1, r) << 16 : element(r, c) | element(r, c + 1) << 16;
      }
  }
};

template <class T>
struct Product {
  float* sums;
  const FragmentA* a;
  const FragmentB* b;
  static void meet(Product* const* lanes) {
    float a[16][16], b[16][8];
    for (int l = 0; l < 32; ++l)
      for (int i = 0; i < 2; ++i) {
        for (int x = 0; x < 4; ++x) a[l / 4 + x % 2 * 8][l % 4 * 2 + x / 2 * 8 + i] = to_float(T{half_of(lanes[l]->a->x[x], i)});
        for (int x = 0; x < 2; ++x) b[l % 4 * 2 + x * 8 + i][l / 4] = to_float(T{half_of(lanes[l]->b->x[x], i)});
      }
    for (int l = 0; l < 32; ++l)
      for (int i = 0; i < 4; ++i)
        for (int k = 0; k < 16; ++k) lanes[l]->sums[i] += a[l / 4 + i / 2 * 8][k] * b[k][l % 4 * 2 + i % 2];
  }
};

struct Copy {
  void* to;
  const void* from;
  size_t bytes;
};
// What the running thread has begun to copy; blocks run one after the other.
inline std::vector<Copy>& copies_of_thread() {
  static thread_local std::vector<Copy> copies[1024];
  return copies[running.thread.x + running.block_size.x * (running.thread.y + running.block_size.y * running.thread.z)];
}

}  // namespace on_cpu

inline void load_matrices(uint32_t (&x)[4], const void* row, const BerthSite site = BerthSite::current()) {
  on_cpu::check_aligned(row, 16);
  on_cpu::Matrices<false> mine{static_cast<const uint16_t*>(row), {}, site};
  on_cpu::together(~0u, mine, site);
  memcpy(x, mine.x, sizeof(x));
}
inline void load_matrices_transposed(uint32_t (&x)[4], const void* row, const BerthSite site = BerthSite::current()) {
  on_cpu::check_aligned(row, 16);
  on_cpu::Matrices<true> mine{static_cast<const uint16_t*>(row), {}, site};
  on_cpu::together(~0u, mine, site);
  memcpy(x, mine.x, sizeof(x));
}

template <class T>
void multiply_add(float (&sums)[4], const FragmentA& a, const FragmentB& b, T, const BerthSite site = BerthSite::current()) {
  on_cpu::Product<T> mine{sums, &a, &b};
  on_cpu::together(~0u, mine, site);
}

// The copy is made by wait_for_copies(): who does not wait finds NaN.
template <int Bytes>
void copy_async(void* to, const void* from, bool inside) {
  on_cpu::check_aligned(to, Bytes);
  if (inside) on_cpu::check_aligned(from, Bytes);
  memset(to, 0xFF, Bytes);
  on_cpu::copies_of_thread().push_back({to, inside ? from : nullptr, Bytes});
}
inline void wait_for_copies() {
  for (const on_cpu::Copy& copy : on_cpu::copies_of_thread()) {
    if (copy.from != nullptr)
      memcpy(copy.to, copy.from, copy.bytes);
    else
      memset(copy.to, 0, copy.bytes);
  }
  on_cpu::copies_of_thread().clear();
}

#endif

}  // namespace berth::train::cuda
