// The time of the optimizer's kernels on a GPU for BERT-base's buckets, as GB/s of what they must read and write at least: 12 dense buckets
// of 25 MiB, then the word embeddings, of which all rows, or a tenth of them, have ever been touched.
#include <algorithm>
#include <cstdio>
#include <functional>
#include <vector>

#include "trainer/kernels/cpu/args.h"
#include "trainer/kernels/cuda/adamw.h"

namespace {

using namespace berth::train;
using kernels::AdamWNumbers;
using kernels::Bf16;
using kernels::StepPlan;

constexpr int kRounds = 15;
constexpr int kBuckets = 12;
constexpr int64_t kBucket = 25 << 18, kRows = 30522, kWidth = 768;
constexpr AdamWNumbers kNumbers{
    .rates = {1e-4}, .weight_decay = 0, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .max_grad_norm = 1};

void check(cudaError_t error) {
  if (error == cudaSuccess) return;
  fprintf(stderr, "%s\n", cudaGetErrorString(error));
  exit(1);
}

template <class T>
T* zeros(int64_t count) {
  void* memory;
  check(cudaMalloc(&memory, static_cast<size_t>(count) * sizeof(T)));
  check(cudaMemset(memory, 0, static_cast<size_t>(count) * sizeof(T)));
  return static_cast<T*>(memory);
}

cuda::AdamWBucket<Bf16> bucket_of(int64_t n, int64_t group, const std::function<uint8_t(int64_t)>& flag) {
  std::vector<uint8_t> flags(static_cast<size_t>((n + group - 1) / group));
  for (size_t i = 0; i < flags.size(); ++i) flags[i] = flag(static_cast<int64_t>(i));
  auto* on_device = zeros<uint8_t>(std::ssize(flags));
  check(cudaMemcpy(on_device, flags.data(), flags.size(), cudaMemcpyHostToDevice));
  return {zeros<float>(n), zeros<float>(n), zeros<float>(n), zeros<float>(n), zeros<Bf16>(n), n, on_device, group};
}

void measure(const char* name, double bytes, const std::function<void()>& run) {
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin));
  check(cudaEventCreate(&end));
  std::vector<float> times;
  for (int round = 0; round < kRounds + 2; ++round) {
    check(cudaEventRecord(begin));
    run();
    check(cudaEventRecord(end));
    check(cudaEventSynchronize(end));
    float ms;
    check(cudaEventElapsedTime(&ms, begin, end));
    if (round >= 2) times.push_back(ms * 1000);
  }
  std::sort(times.begin(), times.end());
  const double us = times[times.size() / 2];
  printf("%-48s %8.1f us %8.0f GB/s\n", name, us, bytes / us * 1e-3);
}

}  // namespace

int main() {
  std::vector<cuda::AdamWBucket<Bf16>> buckets;
  for (int b = 0; b < kBuckets; ++b) buckets.push_back(bucket_of(kBucket, 16, [](int64_t) { return kernels::kHasMoments; }));
  const auto table = bucket_of(kRows * kWidth, kWidth, [](int64_t) { return kernels::kHasMoments; });
  const auto tenth =
      bucket_of(kRows * kWidth, kWidth, [](int64_t row) { return row % 10 == 0 ? kernels::kHasMoments : uint8_t{0}; });
  const int64_t sums = cuda::partial_sums(kBucket);
  auto* partials = zeros<double>(kBuckets * sums);
  auto* loss = zeros<float>(1);
  auto* plan = zeros<StepPlan>(1);

  measure("sums of squares, 12 x 25 MiB", 4.0 * kBuckets * kBucket, [&] {
    for (int b = 0; b < kBuckets; ++b)
      cuda::sum_squares(buckets[static_cast<size_t>(b)].grads, kBucket, partials + b * sums, nullptr);
  });
  measure("decision", 8.0 * kBuckets * static_cast<double>(sums),
          [&] { cuda::decide_step(partials, kBuckets * sums, loss, kNumbers, plan, nullptr); });
  measure("update, 12 x 25 MiB", 30.0 * kBuckets * kBucket, [&] {
    for (const auto& bucket : buckets) cuda::adamw(bucket, kNumbers, plan, nullptr);
  });
  measure("update, word embeddings", 30.0 * kRows * kWidth, [&] { cuda::adamw(table, kNumbers, plan, nullptr); });
  measure("update, word embeddings, a tenth ever touched", 3.0 * kRows * kWidth,
          [&] { cuda::adamw(tenth, kNumbers, plan, nullptr); });
}
