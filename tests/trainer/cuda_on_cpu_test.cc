// The CPU's stand-in for a GPU's threads: what a GPU would do wrong, it does wrong as well, or says so.
#include <gtest/gtest.h>

#include <vector>

#include "trainer/kernels/cuda/device.cuh"

namespace berth::train::cuda {
namespace {

constexpr int kThreads = 96;

enum class Mutant { kNone, kNoBarrier, kLeavesEarly, kOtherBarrier, kHalfAWarp, kAbsentLane };

// Each thread hands its number to the next one of its block, through shared memory.
__global__ void hand_on(Mutant mutant, int* received) {
  __shared__ int given[kThreads];
  const int thread = static_cast<int>(threadIdx.x);
  given[thread] = static_cast<int>(blockIdx.x) * kThreads + thread;
  if (mutant == Mutant::kLeavesEarly && thread == 5) return;
  if (mutant == Mutant::kHalfAWarp && thread % 32 < 16) __syncwarp();
  if (mutant == Mutant::kAbsentLane) __shfl_sync(0x0000ffffu << (thread / 16 % 2 * 16), thread, 31 - thread % 32);
  if (mutant == Mutant::kOtherBarrier && thread < 32) {
    __syncthreads();
  } else if (mutant != Mutant::kNoBarrier) {
    __syncthreads();
  }
  received[blockIdx.x * kThreads + threadIdx.x] = given[(thread + 1) % kThreads];
}

std::vector<int> run(Mutant mutant, int blocks) {
  std::vector<int> received(static_cast<size_t>(blocks * kThreads), -1);
  launch(hand_on, static_cast<unsigned>(blocks), kThreads, 0, nullptr, mutant, received.data());
  return received;
}

TEST(CudaOnCpu, ThreadsOfABlockMeetAtABarrier) {
  const std::vector<int> received = run(Mutant::kNone, 7);
  for (int i = 0; i < 7 * kThreads; ++i) EXPECT_EQ(received[i], i / kThreads * kThreads + (i + 1) % kThreads);
}

TEST(CudaOnCpu, AMissingBarrierShows) { EXPECT_NE(run(Mutant::kNoBarrier, 7), run(Mutant::kNone, 7)); }

TEST(CudaOnCpu, ThreadsThatNeverMeetEndTheProcess) {
  EXPECT_DEATH(run(Mutant::kLeavesEarly, 1), "threads of a block part: .*has left the kernel");
  EXPECT_DEATH(run(Mutant::kOtherBarrier, 1), "threads of a block part: .*waits for its block at .*waits for its block at ");
  EXPECT_DEATH(run(Mutant::kHalfAWarp, 1), "threads of a block part: .*waits for its warp at .*waits for its block at ");
  EXPECT_DEATH(run(Mutant::kAbsentLane, 1), "a shuffle reads from a lane that takes no part");
}

__global__ void order_of_threads(int* next, int* order) {
  order[(*next)++] = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
}

std::vector<int> some_order(uint64_t seed) {
  on_cpu::seed_order(seed);
  int next = 0;
  std::vector<int> order(128);
  launch(order_of_threads, 4, 32, 0, nullptr, &next, order.data());
  return order;
}

TEST(CudaOnCpu, BlocksAndThreadsRunInAnOrderThatTheSeedSays) {
  EXPECT_NE(some_order(1), some_order(2));
  EXPECT_EQ(some_order(1), some_order(1));
}

__global__ void lanes(uint32_t* ballots, int* from_below, float* sums, float* greatest) {
  const unsigned i = threadIdx.x;
  ballots[i] = __ballot_sync(kAllLanes, i % 3 == 0);
  from_below[i] = __shfl_down_sync(kAllLanes, static_cast<int>(i), 3);
  sums[i] = block_sum<2>(static_cast<float>(i));
  greatest[i] = block_max<2>(static_cast<float>(i * 7 % 64));
}

TEST(CudaOnCpu, LanesOfAWarpExchange) {
  std::vector<uint32_t> ballots(64);
  std::vector<int> from_below(64);
  std::vector<float> sums(64), greatest(64);
  launch(lanes, 1, 64, 0, nullptr, ballots.data(), from_below.data(), sums.data(), greatest.data());
  for (int i = 0; i < 64; ++i) {
    uint32_t expected = 0;
    for (int lane = 0; lane < 32; ++lane) expected |= static_cast<uint32_t>((i / 32 * 32 + lane) % 3 == 0) << lane;
    EXPECT_EQ(ballots[i], expected);
    EXPECT_EQ(from_below[i], i % 32 < 29 ? i + 3 : i);
    EXPECT_EQ(sums[i], 63 * 64 / 2);
    EXPECT_EQ(greatest[i], 63);
  }
}

__global__ void shared_and_index(uint32_t* first_words, dim3* places) {
  BERTH_DYNAMIC_SHARED(shared);
  const unsigned block = blockIdx.x + gridDim.x * blockIdx.y, thread = threadIdx.x + blockDim.x * threadIdx.y;
  if (thread == 0) first_words[block] = *reinterpret_cast<uint32_t*>(shared);
  __syncthreads();
  if (thread == 0) *reinterpret_cast<uint32_t*>(shared) = 7;
  places[block * 6 + thread] = dim3(blockIdx.x, threadIdx.x, threadIdx.y);
}

TEST(CudaOnCpu, DynamicSharedMemoryBeginsAsNaNInEachBlock) {
  std::vector<uint32_t> first_words(6);
  std::vector<dim3> places(36);
  launch(shared_and_index, dim3(3, 2), dim3(2, 3), 64, nullptr, first_words.data(), places.data());
  for (const uint32_t word : first_words) EXPECT_EQ(word, 0xffffffffu);
  for (int i = 0; i < 36; ++i) {
    EXPECT_EQ(places[i].x, i / 6 % 3);
    EXPECT_EQ(places[i].y, i % 6 % 2);
    EXPECT_EQ(places[i].z, i % 6 / 2);
  }
}

TEST(CudaOnCpu, NumberFormatsRoundToNearestEven) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const Bf16 b{static_cast<uint16_t>(bits)};
    const Fp16 h{static_cast<uint16_t>(bits)};
    Bf16 b_again;
    Fp16 h_again;
    from_float(to_float(b), b_again);
    from_float(to_float(h), h_again);
    EXPECT_TRUE(std::isnan(to_float(b)) ? std::isnan(to_float(b_again)) : b_again.bits == bits) << bits;
    EXPECT_TRUE(std::isnan(to_float(h)) ? std::isnan(to_float(h_again)) : h_again.bits == bits) << bits;
  }
  // Between two neighbours: to the nearer one, from the middle to the even one.
  const auto fp16 = [](float x) {
    Fp16 h;
    from_float(x, h);
    return to_float(h);
  };
  for (uint16_t bits = 0; bits < 0x7bff; ++bits) {
    const float low = to_float(Fp16{bits}), high = to_float(Fp16{static_cast<uint16_t>(bits + 1)}), middle = (low + high) / 2;
    EXPECT_EQ(fp16(middle), bits % 2 == 0 ? low : high);
    EXPECT_EQ(fp16(std::nextafter(middle, 0.f)), low);
    EXPECT_EQ(fp16(-std::nextafter(middle, 1e9f)), -high);
  }
  EXPECT_EQ(fp16(65519.f), 65504.f);
  EXPECT_EQ(fp16(65520.f), INFINITY);
  EXPECT_EQ(pack<Bf16>(1.f, -2.f), 0xc0003f80u);
  EXPECT_EQ(pack<Fp16>(1.f, -2.f), 0xc0003c00u);
}

}  // namespace
}  // namespace berth::train::cuda
