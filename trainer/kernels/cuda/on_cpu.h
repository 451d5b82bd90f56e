// CUDA's words for a C++ compiler: the sources of this room, compiled by g++, run their kernels on the CPU. Each thread of a block is
// a fiber; blocks run one after the other, in random order, and chance says which thread goes on whenever one waits, be it each time
// anew or for a whole block, so that a missing barrier shows as a wrong result. Ends the process with a sentence on what a GPU would hang on or leave undefined: threads
// of a block that wait at different barriers, a barrier that a thread has left the kernel without, lanes of a warp that don't meet,
// a shuffle from a lane that takes no part, an unaligned vector access, too large a block.
//
// For tests. What is the GPU's own (caches, coalescing, memory ordering, races between blocks, speed) is not seen here.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <source_location>

#include "trainer/kernels/cuda/stream.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static thread_local

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

namespace berth::train::cuda::on_cpu {

using Site = std::source_location;

// What the running thread sees of itself.
struct Running {
  dim3 thread{0, 0, 0}, block{0, 0, 0}, block_size, grid_size;
  unsigned lane = 0;
  unsigned char* dynamic_shared = nullptr;  // 1024-byte aligned; full of 0xFF (NaN) when a block begins
};
extern thread_local constinit Running running;

// What every launch goes through: the kernel, its stream, and what runs it here. It runs at once, unless something with streams has put itself
// in this place (tests/standin).
using Queue = void (*)(const void* kernel, Stream stream, const std::function<void()>& run);
extern constinit Queue queue;

// Runs the body as every thread of every block, and returns when all have ended. shared: bytes of dynamic shared memory.
void launch(dim3 grid, dim3 block, size_t shared, const std::function<void()>& body);
// Where the random order of launches that follow on this host thread begins.
void seed_order(uint64_t seed);

[[noreturn]] void fault(const char* what, const Site& site = Site::current());

void meet_block(const Site& site);
using Meeting = void (*)(void* const* lanes);
void meet_warp(uint32_t mask, void* mine, Meeting meeting, const Site& site);

// What lanes of a warp do together. A lane comes with a struct of its own, `mine`; when all lanes of the mask have come, one calls
// Lane::meet(lanes) for all: lanes[i] is what lane i brought, null if it is not in the mask. Whatever meet leaves in each lane's
// struct is there when together() returns.
template <class Lane>
void together(uint32_t mask, Lane& mine, const Site& site) {
  meet_warp(
      mask, &mine,
      [](void* const* given) {
        Lane* lanes[32];
        for (int i = 0; i < 32; ++i) lanes[i] = static_cast<Lane*>(given[i]);
        Lane::meet(lanes);
      },
      site);
}

template <class T>
struct Shuffle {
  T value;
  unsigned from;
  Site site;
  T result;
  static void meet(Shuffle* const* lanes) {
    for (int i = 0; i < 32; ++i) {
      if (lanes[i] == nullptr) continue;
      const Shuffle* from = lanes[lanes[i]->from % 32];
      if (from == nullptr) fault("a shuffle reads from a lane that takes no part", lanes[i]->site);
      lanes[i]->result = from->value;
    }
  }
};
template <class T>
T shuffle(uint32_t mask, T value, unsigned from, const Site& site) {
  Shuffle<T> mine{value, from, site, value};
  together(mask, mine, site);
  return mine.result;
}

struct Ballot {
  bool vote;
  uint32_t votes;
  static void meet(Ballot* const* lanes) {
    uint32_t votes = 0;
    for (int i = 0; i < 32; ++i)
      if (lanes[i] != nullptr && lanes[i]->vote) votes |= 1u << i;
    for (int i = 0; i < 32; ++i)
      if (lanes[i] != nullptr) lanes[i]->votes = votes;
  }
};

inline void check_aligned(const void* p, size_t bytes) {
  if (reinterpret_cast<uintptr_t>(p) % bytes != 0) fault("an unaligned vector access");
}

}  // namespace berth::train::cuda::on_cpu

#define threadIdx (::berth::train::cuda::on_cpu::running.thread)
#define blockIdx (::berth::train::cuda::on_cpu::running.block)
#define blockDim (::berth::train::cuda::on_cpu::running.block_size)
#define gridDim (::berth::train::cuda::on_cpu::running.grid_size)

using BerthSite = berth::train::cuda::on_cpu::Site;

inline void __syncthreads(const BerthSite site = BerthSite::current()) { berth::train::cuda::on_cpu::meet_block(site); }

inline uint32_t __ballot_sync(uint32_t mask, int vote, const BerthSite site = BerthSite::current()) {
  berth::train::cuda::on_cpu::Ballot mine{vote != 0, 0};
  berth::train::cuda::on_cpu::together(mask, mine, site);
  return mine.votes;
}
inline int __any_sync(uint32_t mask, int vote, const BerthSite site = BerthSite::current()) {
  return __ballot_sync(mask, vote, site) != 0;
}
inline int __all_sync(uint32_t mask, int vote, const BerthSite site = BerthSite::current()) {
  return __ballot_sync(mask, vote, site) == mask;
}
inline void __syncwarp(uint32_t mask = ~0u, const BerthSite site = BerthSite::current()) { __ballot_sync(mask, 0, site); }

template <class T>
T __shfl_sync(uint32_t mask, T value, int from, const BerthSite site = BerthSite::current()) {
  return berth::train::cuda::on_cpu::shuffle(mask, value, static_cast<unsigned>(from) % 32, site);
}
template <class T>
T __shfl_xor_sync(uint32_t mask, T value, int with, const BerthSite site = BerthSite::current()) {
  return berth::train::cuda::on_cpu::shuffle(mask, value, berth::train::cuda::on_cpu::running.lane ^ static_cast<unsigned>(with),
                                             site);
}
// From the lane `distance` above; the last lanes keep their own.
template <class T>
T __shfl_down_sync(uint32_t mask, T value, unsigned distance, const BerthSite site = BerthSite::current()) {
  const unsigned lane = berth::train::cuda::on_cpu::running.lane;
  return berth::train::cuda::on_cpu::shuffle(mask, value, lane + distance < 32 ? lane + distance : lane, site);
}

inline float rsqrtf(float x) { return 1.f / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline int __popc(uint32_t x) { return __builtin_popcount(x); }
