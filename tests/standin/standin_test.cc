// The stand-ins themselves: what they let pass, and what ends a process.
#include "tests/standin/standin.h"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>
#include <nccl.h>

#include <cmath>
#include <cstring>
#include <numeric>
#include <thread>

#include "tests/standin/fault.h"
#include "tests/standin/test_kernels.h"

namespace berth::standin {
namespace {

// Each in a process of its own, since streams are threads.
#define EXPECT_FAULT(statement, sentence) EXPECT_EXIT(statement, testing::ExitedWithCode(kFaultCode), sentence)

class Standin : public testing::Test {
 protected:
  static constexpr int kFloats = 1000;
  static constexpr size_t kBytes = kFloats * sizeof(float);
  Standin() {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    for (cudaStream_t* stream : {&one_, &two_}) cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking);
    cudaEventCreateWithFlags(&event_, cudaEventDisableTiming);
    for (float** pointer : {&a_, &b_}) cudaMalloc(reinterpret_cast<void**>(pointer), kBytes);
    cudaHostAlloc(reinterpret_cast<void**>(&pinned_), kBytes, 0);
  }
  std::vector<float> down(const float* device) {
    std::vector<float> host(kFloats);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    EXPECT_EQ(cudaMemcpy(host.data(), device, kBytes, cudaMemcpyDeviceToHost), cudaSuccess);
    return host;
  }
  void order(cudaStream_t before, cudaStream_t after) {
    cudaEventRecord(event_, before);
    cudaStreamWaitEvent(after, event_, 0);
  }
  cudaStream_t one_ = nullptr, two_ = nullptr;
  cudaEvent_t event_ = nullptr;
  float *a_ = nullptr, *b_ = nullptr, *pinned_ = nullptr;
};

TEST_F(Standin, NewMemoryIsNaN) {
  for (const float x : down(a_)) EXPECT_TRUE(std::isnan(x));
}

TEST_F(Standin, MemoryIsLimited) {
  void* pointer = a_;
  EXPECT_EQ(cudaMalloc(&pointer, size_t{1} << 40), cudaErrorMemoryAllocation);
  EXPECT_EQ(pointer, nullptr);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

TEST_F(Standin, TheHostMustNotTouchDeviceMemory) {
  EXPECT_FAULT(*static_cast<volatile float*>(a_) = 1, "the host touched device memory");
}

TEST_F(Standin, OperationsStayWithinTheirMemory) {
  EXPECT_EQ(cudaMemsetAsync(a_, 0, kBytes, one_), cudaSuccess);
  EXPECT_FAULT(cudaMemsetAsync(a_, 0, kBytes + 256, one_), "not allocated");
  float* const gone = a_;
  cudaFree(a_);
  EXPECT_FAULT(cudaMemsetAsync(gone, 0, kBytes, one_), "not allocated");
  EXPECT_FAULT(
      {
        cudaSetDevice(1);
        cudaStream_t other;
        cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking);
        cudaMemsetAsync(b_, 0, kBytes, other);
      },
      "on device 1 touches memory of device 0");
}

TEST_F(Standin, StreamsAreOrderedByEventsAndSynchronisations) {
  cudaMemsetAsync(a_, 0, kBytes, one_);
  order(one_, two_);
  cudaMemsetAsync(a_, 0, kBytes, two_);
  cudaStreamSynchronize(two_);
  cudaMemsetAsync(a_, 0, kBytes, one_);
  EXPECT_FAULT(cudaMemsetAsync(a_, 0, kBytes, two_), "race, write after write: cudaMemsetAsync");
  EXPECT_FAULT(cudaMemcpyAsync(b_, a_, kBytes, cudaMemcpyDeviceToDevice, two_), "race, read after write: copy on the device");
  EXPECT_FAULT(
      {
        order(one_, two_);
        cudaMemcpyAsync(b_, a_, kBytes, cudaMemcpyDeviceToDevice, two_);
        cudaMemsetAsync(a_, 0, kBytes, one_);
      },
      "race, write after read: cudaMemsetAsync");
  EXPECT_FAULT(
      {
        cudaEventRecord(event_, one_);
        cudaMemsetAsync(a_, 0, 4, one_);  // behind the event
        cudaStreamWaitEvent(two_, event_, 0);
        cudaMemsetAsync(a_, 0, 4, two_);
      },
      "race, write after write");
  cudaMemsetAsync(a_ + 500, 0, 4, one_);
  order(one_, two_);
  cudaMemsetAsync(a_ + 501, 0, 4, one_);  // beside what the other stream touches
  cudaMemsetAsync(a_ + 500, 0, 4, two_);
}

TEST_F(Standin, PinnedMemoryChangesWhenTheHostKnows) {
  std::fill_n(pinned_, kFloats, 7.f);
  cudaMemcpyAsync(a_, pinned_, kBytes, cudaMemcpyHostToDevice, one_);
  EXPECT_FAULT(
      {
        pinned_[3] = 8;
        cudaStreamSynchronize(one_);
      },
      "the host wrote pinned memory");
  cudaEventRecord(event_, one_);
  cudaEventSynchronize(event_);
  std::fill_n(pinned_, kFloats, 8.f);
  cudaMemcpyAsync(pinned_, a_, kBytes, cudaMemcpyDeviceToHost, one_);
  EXPECT_TRUE(std::isnan(pinned_[3]));
  cudaStreamSynchronize(two_);
  EXPECT_TRUE(std::isnan(pinned_[3])) << "another stream";
  cudaStreamSynchronize(one_);
  EXPECT_EQ(pinned_[3], 7.f);
}

TEST_F(Standin, PinnedMemoryIsFreeWithoutTheHostsKnowingMore) {
  std::fill_n(pinned_, kFloats, 7.f);
  cudaMemcpyAsync(a_, pinned_, kBytes, cudaMemcpyHostToDevice, one_);
  cudaEventRecord(event_, one_);
  while (!ended(event_)) std::this_thread::yield();
  std::fill_n(pinned_, kFloats, 8.f);
  EXPECT_FAULT(cudaMemsetAsync(a_, 0, kBytes, two_), "race, write after write");
  EXPECT_EQ(cudaEventQuery(event_), cudaSuccess);
  cudaMemsetAsync(a_, 0, kBytes, two_);
}

TEST_F(Standin, EventsAreDoneWhenTheirStreamIs) {
  EXPECT_EQ(cudaEventQuery(event_), cudaSuccess) << "never recorded";
  EXPECT_FAULT(
      {
        cudaSetDevice(1);
        cudaStream_t other;
        cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking);
        cudaEventRecord(event_, other);
      },
      "an event of device 0");
  cudaEventRecord(event_, one_);
  EXPECT_EQ(cudaEventSynchronize(event_), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(event_), cudaSuccess);
}

TEST_F(Standin, OwnKernelsAreOperationsOfTheirStream) {
  cudaMemsetAsync(a_, 0, kBytes, one_);
  add_one(a_, b_, kFloats, one_);
  for (const float x : down(b_)) EXPECT_EQ(x, 1.f);
  add_one(b_, a_, kFloats, one_);
  EXPECT_FAULT(add_one(a_, b_, 1, two_), "race, read after write: .*add_one_kernel .* against .*add_one_kernel");
  EXPECT_FAULT(add_one(pinned_, b_ + 999, 1, two_), "race, write after read: .*add_one_kernel .* against .*add_one_kernel");
  EXPECT_FAULT(add_one_with_a_race(a_, b_, kFloats, one_), "race between blocks of .*add_one_kernel");
  EXPECT_FAULT(add_one(a_, b_ + 1, 10 * kFloats, one_), "a kernel touched device memory at .*, which is not allocated");
  add_one_with_a_race(a_, b_, 32, one_);  // of one block
}

// body(rank, communicator, stream) on a thread and a device each.
void on_ranks(int ranks, const std::function<void(int, ncclComm_t, cudaStream_t)>& body) {
  ncclUniqueId id;
  ASSERT_EQ(ncclGetUniqueId(&id), ncclSuccess);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      cudaSetDevice(rank);
      cudaStream_t stream;
      cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
      ncclComm_t comm = nullptr;
      ASSERT_EQ(ncclCommInitRank(&comm, ranks, id, rank), ncclSuccess);
      body(rank, comm, stream);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// More than a round of the stand-in holds, and rounds that end within a rank's part; in place, as ZeRO-1 has it, and beside.
TEST_F(Standin, CollectivesDoWhatTheirNamesSay) {
  constexpr int kRanks = 3, kPart = 200'003;
  on_ranks(kRanks, [](int rank, ncclComm_t comm, cudaStream_t stream) {
    std::vector<float> host(kRanks * kPart);
    float *all = nullptr, *part = nullptr;
    const size_t bytes = host.size() * sizeof(float);
    cudaMalloc(reinterpret_cast<void**>(&all), bytes);
    cudaMalloc(reinterpret_cast<void**>(&part), kPart * sizeof(float));
    const auto up = [&] {
      for (size_t i = 0; i < host.size(); ++i) host[i] = static_cast<float>(i % 1000 + rank);
      cudaMemcpyAsync(all, host.data(), bytes, cudaMemcpyHostToDevice, stream);
    };
    const auto expect_sums = [&](const float* device, int begin, int n) {
      std::vector<float> sums(n);
      cudaMemcpyAsync(sums.data(), device, n * sizeof(float), cudaMemcpyDeviceToHost, stream);
      for (int i = 0; i < n; ++i) ASSERT_EQ(sums[i], 3.f * static_cast<float>((begin + i) % 1000) + 3.f) << i;
    };
    up();
    EXPECT_EQ(ncclReduceScatter(all, part, kPart, ncclFloat, ncclSum, comm, stream), ncclSuccess);
    expect_sums(part, rank * kPart, kPart);
    EXPECT_EQ(ncclReduceScatter(all, all + rank * kPart, kPart, ncclFloat, ncclSum, comm, stream), ncclSuccess);
    expect_sums(all + rank * kPart, rank * kPart, kPart);
    EXPECT_EQ(ncclAllGather(all + rank * kPart, all, kPart, ncclFloat, comm, stream), ncclSuccess);
    expect_sums(all, 0, kRanks * kPart);
    up();
    EXPECT_EQ(ncclAllGather(part, all, kPart, ncclFloat, comm, stream), ncclSuccess);
    expect_sums(all, 0, kRanks * kPart);
    up();
    EXPECT_EQ(ncclAllReduce(all, all, kRanks * kPart, ncclFloat, ncclSum, comm, stream), ncclSuccess);
    expect_sums(all, 0, kRanks * kPart);
    if (rank != 1) up();
    EXPECT_EQ(ncclBroadcast(all, all, kRanks * kPart, ncclFloat, 1, comm, stream), ncclSuccess);
    expect_sums(all, 0, kRanks * kPart);
    EXPECT_EQ(ncclAllReduce(host.data(), all, 1, ncclFloat, ncclSum, comm, stream), ncclInvalidArgument) << "host memory";
  });
}

TEST_F(Standin, CollectivesAreOperationsOfTheirStream) {
  EXPECT_FAULT(on_ranks(1,
                        [&](int, ncclComm_t comm, cudaStream_t stream) {
                          cudaMemsetAsync(a_, 0, kBytes, one_);
                          ncclAllReduce(a_, a_, kFloats, ncclFloat, ncclSum, comm, stream);
                        }),
               "race, read after write: ncclAllReduce");
}

}  // namespace
}  // namespace berth::standin
