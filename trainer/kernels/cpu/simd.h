// Vectors in GCC's portable notation: the same source becomes SSE2, NEON, AVX2 or AVX-512. Where the compiler finds no good code,
// intrinsics stand beside the portable form.
//
// Included only by kernels that are compiled once per instruction set (BERTH_ISA). All functions are static, so that no linker
// can mix them up.
#pragma once

#include <cstdint>
#include <cstring>
#ifdef __AVX2__
#include <immintrin.h>
#endif

#include "trainer/kernels/cpu/table.h"

#define BERTH_INLINE static inline __attribute__((always_inline))

namespace berth::train::cpu {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

typedef float F __attribute__((vector_size(kLanes * 4)));
typedef int32_t I __attribute__((vector_size(kLanes * 4)));
typedef uint32_t U __attribute__((vector_size(kLanes * 4)));
typedef uint16_t Half __attribute__((vector_size(kLanes * 2)));

BERTH_INLINE F set1(float x) { return x - F{}; }
BERTH_INLINE U set1u(uint32_t x) { return x - U{}; }
BERTH_INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
BERTH_INLINE int64_t round_up16(int64_t n) { return (n + 15) / 16 * 16; }

BERTH_INLINE F load(const float* p) {
  F v;
  memcpy(&v, p, sizeof(v));
  return v;
}
BERTH_INLINE void store(float* p, F v) { memcpy(p, &v, sizeof(v)); }

BERTH_INLINE F load(const Bf16* p) {
  Half h;
  memcpy(&h, p, sizeof(h));
  return (F)(__builtin_convertvector(h, U) << 16);
}
// Rounds to nearest even; NaN stays NaN.
BERTH_INLINE void store(Bf16* p, F v) {
  const U bits = (U)v;
  const U rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const U result = (v != v) ? (bits >> 16 | 0x40u) : rounded;
  const Half h = __builtin_convertvector(result, Half);
  memcpy(p, &h, sizeof(h));
}

// The first n < kLanes elements; the others read as zero and are not written.
template <class T>
BERTH_INLINE F load_part(const T* p, int n) {
  T parts[kLanes] = {};
  for (int i = 0; i < n; ++i) parts[i] = p[i];
  return load(parts);
}
template <class T>
BERTH_INLINE void store_part(T* p, F v, int n) {
  T parts[kLanes];
  store(parts, v);
  for (int i = 0; i < n; ++i) p[i] = parts[i];
}
// The same for any n >= 0, full vectors included.
template <class T>
BERTH_INLINE F load_upto(const T* p, int64_t n) {
  return n >= kLanes ? load(p) : load_part(p, n > 0 ? static_cast<int>(n) : 0);
}
template <class T>
BERTH_INLINE void store_upto(T* p, F v, int64_t n) {
  if (n >= kLanes)
    store(p, v);
  else
    store_part(p, v, n > 0 ? static_cast<int>(n) : 0);
}

BERTH_INLINE float sum(F v) {
  float parts[kLanes];
  memcpy(parts, &v, sizeof(v));
  for (int width = kLanes / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) parts[i] += parts[i + width];
  return parts[0];
}
BERTH_INLINE float max(F v) {
  float parts[kLanes];
  memcpy(parts, &v, sizeof(v));
  for (int width = kLanes / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) parts[i] = parts[i] > parts[i + width] ? parts[i] : parts[i + width];
  return parts[0];
}

BERTH_INLINE I iota() {
  I v;
  for (int i = 0; i < kLanes; ++i) v[i] = i;
  return v;
}

// exp(x) to about 1 ulp for x <= 88; 0 below -87.3. Range reduction and polynomial as in Cephes' expf.
BERTH_INLINE F exp(F x) {
  constexpr float kRound = 12582912.f;  // 1.5 * 2^23: adding it rounds to an integer in the low bits
  const I tiny = x < set1(-87.3f);
  const F shifted = x * 1.44269504088896341f + kRound;
  const F n = shifted - kRound;
  const F r = x - n * 0.693359375f + n * 2.12194440e-4f;
  F p = set1(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.f;
  const U exponent = ((U)shifted - 0x4b400000u) << 23;
  return (F)((I)((U)p + exponent) & ~tiny);
}

// 32 x 32 -> 64 bit products: their high and low words.
BERTH_INLINE void multiply(uint32_t a, U b, U& high, U& low) {
#if defined(__AVX512F__)
  const __m512i va = _mm512_set1_epi32(static_cast<int>(a)), vb = (__m512i)b;
  const __m512i even = _mm512_mul_epu32(va, vb), odd = _mm512_mul_epu32(va, _mm512_srli_epi64(vb, 32));
  high = (U)_mm512_mask_mov_epi32(_mm512_srli_epi64(even, 32), 0xAAAA, odd);
  low = (U)_mm512_mask_mov_epi32(even, 0xAAAA, _mm512_slli_epi64(odd, 32));
#elif defined(__AVX2__)
  const __m256i va = _mm256_set1_epi32(static_cast<int>(a)), vb = (__m256i)b;
  const __m256i even = _mm256_mul_epu32(va, vb), odd = _mm256_mul_epu32(va, _mm256_srli_epi64(vb, 32));
  high = (U)_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
  low = (U)_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA);
#else
  for (int i = 0; i < kLanes; ++i) {
    const uint64_t product = uint64_t{a} * b[i];
    high[i] = static_cast<uint32_t>(product >> 32);
    low[i] = static_cast<uint32_t>(product);
  }
#endif
}

// Philox4x32-10 (data/philox.h) of the 16 counters {c0, c1, c2, 16 * block + i}: words[w] holds the word w of counters 0..15.
struct PhiloxWords {
  U words[4][16 / kLanes];
};
BERTH_INLINE void philox_words(const DropoutArgs& args, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t block, PhiloxWords& out) {
  constexpr uint32_t kM0 = 0xD2511F53u, kM1 = 0xCD9E8D57u, kW0 = 0x9E3779B9u, kW1 = 0xBB67AE85u;
  for (int part = 0; part < 16 / kLanes; ++part) {
    const U c3 = (U)iota() + (16 * block + static_cast<uint32_t>(part * kLanes));
    uint32_t k0 = args.key0, k1 = args.key1;
    // Only the last counter word differs between lanes: most of the first three rounds is scalar.
    const uint64_t p0 = uint64_t{kM0} * c0, p1 = uint64_t{kM1} * c2;
    const uint32_t x0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0, x1 = static_cast<uint32_t>(p1), x3 = static_cast<uint32_t>(p0);
    const U x2 = c3 ^ (static_cast<uint32_t>(p0 >> 32) ^ k1);
    k0 += kW0, k1 += kW1;
    U high, low;
    multiply(kM1, x2, high, low);
    const uint64_t q0 = uint64_t{kM0} * x0;
    U a0 = high ^ (x1 ^ k0), a1 = low;
    const uint32_t y2 = static_cast<uint32_t>(q0 >> 32) ^ x3 ^ k1, y3 = static_cast<uint32_t>(q0);
    k0 += kW0, k1 += kW1;
    multiply(kM0, a0, high, low);
    const uint64_t r1 = uint64_t{kM1} * y2;
    a0 = a1 ^ (static_cast<uint32_t>(r1 >> 32) ^ k0);
    a1 = set1u(static_cast<uint32_t>(r1));
    U a2 = high ^ (y3 ^ k1), a3 = low;
    for (int round = 3; round < 10; ++round) {
      k0 += kW0, k1 += kW1;
      U high2, low2;
      multiply(kM0, a0, high, low);
      multiply(kM1, a2, high2, low2);
      a0 = high2 ^ a1 ^ k0, a1 = low2;
      a2 = high ^ a3 ^ k1, a3 = low;
    }
    out.words[0][part] = a0, out.words[1][part] = a1, out.words[2][part] = a2, out.words[3][part] = a3;
  }
}
// All ones where an element is kept.
BERTH_INLINE I keep(U words, uint32_t threshold) { return (I)(words >> 8) >= static_cast<int32_t>(threshold); }
BERTH_INLINE F where(I mask, F value) { return (F)((I)value & mask); }

}  // namespace
}  // namespace berth::train::cpu
