// Philox4x32-10, the counter-based generator behind everything random in berth.
//
// Randomness has no history: a number is a pure function of (key, counter), so shuffling, dropout and masking depend on
// (seed, purpose, step or epoch, sample, position, layer) and never on how many numbers were drawn before. Nothing has to
// be saved or replayed to resume, and results do not depend on the number of ranks or threads.
//
// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11.
#pragma once

#include <array>
#include <cstdint>

namespace berth {

using PhiloxCounter = std::array<uint32_t, 4>;
using PhiloxKey = std::array<uint32_t, 2>;

// What a stream of random numbers is for: part of its key, so that no two purposes share numbers.
enum class Purpose : uint32_t {
  kShuffle = 1,
  kSplit = 2,
  kInit = 3,
  kEmbeddingDropout = 4,
  kAttentionDropout = 5,
  kAttentionOutputDropout = 6,
  kFfnOutputDropout = 7,
  kClassifierDropout = 8,
  kMlmMask = 9,
  kAugment = 10,
  kSentencePairs = 11,
  kWeightedSampling = 12,
};

inline PhiloxCounter philox(PhiloxCounter c, PhiloxKey k) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57u} * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<uint32_t>(p1), static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k[1],
         static_cast<uint32_t>(p0)};
    k[0] += 0x9E3779B9u;
    k[1] += 0xBB67AE85u;
  }
  return c;
}

// The key of one stream: a mix of the run's seed, the purpose, and up to two indices (step or epoch, layer).
inline PhiloxKey philox_key(uint64_t seed, Purpose purpose, uint64_t step_or_epoch = 0, uint32_t layer = 0) {
  const PhiloxCounter mixed = philox(
      {static_cast<uint32_t>(step_or_epoch), static_cast<uint32_t>(step_or_epoch >> 32), static_cast<uint32_t>(purpose), layer},
      {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  return {mixed[0], mixed[1]};
}

// Uniform in [0, 1) with 24 bits, as a float holds them.
inline float philox_uniform(uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1.0p-24f; }

}  // namespace berth
