// Attention on packed rows on a GPU, bf16: time and arithmetic of forward and backward, median of rounds. TFLOP/s count 4 (forward) and
// 10 (backward) operations for each score and column of a head, as is usual, whatever is computed again.
//
// usage: gpu_attention_bench [rounds]
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "data/check.h"
#include "trainer/kernels/cuda/attention.h"

namespace {

using namespace berth::train;  // NOLINT: a program

void check_cuda(cudaError_t error) {
  if (error != cudaSuccess) berth::fail(berth::ExitCode::kInternal, cudaGetErrorString(error));
}

template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t n) {
    check_cuda(cudaMalloc(&data_, std::max<size_t>(n, 1) * sizeof(T)));
    check_cuda(cudaMemset(data_, 0, n * sizeof(T)));
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
    check_cuda(cudaMemcpy(data_, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
  }
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  T* get() const { return data_; }

 private:
  T* data_ = nullptr;
};

// Microseconds of f() on the device: the median of rounds, each the mean of some calls.
template <class Function>
double median_us(int rounds, const Function& f) {
  constexpr int kCalls = 10;
  cudaEvent_t begin, end;
  check_cuda(cudaEventCreate(&begin));
  check_cuda(cudaEventCreate(&end));
  for (int i = 0; i < kCalls; ++i) f();
  std::vector<float> times;
  for (int round = 0; round < rounds; ++round) {
    check_cuda(cudaEventRecord(begin));
    for (int i = 0; i < kCalls; ++i) f();
    check_cuda(cudaEventRecord(end));
    check_cuda(cudaEventSynchronize(end));
    float ms;
    check_cuda(cudaEventElapsedTime(&ms, begin, end));
    times.push_back(ms * 1000 / kCalls);
  }
  check_cuda(cudaEventDestroy(begin));
  check_cuda(cudaEventDestroy(end));
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return times[times.size() / 2];
}

void measure(const char* name, const std::vector<int>& lengths, int64_t heads, int64_t head_size, float p, int rounds,
             int64_t max_seqlen = 0) {
  using T = kernels::Bf16;
  std::vector<int32_t> ends = {0};
  std::vector<int64_t> ids;
  double scores = 0;
  for (const int length : lengths) {
    ends.push_back(ends.back() + length);
    ids.push_back(static_cast<int64_t>(ids.size()));
    scores += double(length) * length * heads;
  }
  const int64_t tokens = ends.back(), width = heads * head_size;
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<T> values(tokens * 3 * width);
  for (T& x : values) {
    const float value = normal(random);
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    x.bits = static_cast<uint16_t>(bits >> 16);
  }
  const DeviceArray<int32_t> cu_seqlens(ends);
  const DeviceArray<int64_t> samples(ids);
  const DeviceArray<T> qkv(values), d_out(std::vector<T>(values.begin(), values.begin() + tokens * width)), out(tokens * width),
      gradients(tokens * 3 * width);
  cuda::AttentionShape shape{cu_seqlens.get(),
                             samples.get(),
                             std::ssize(lengths),
                             tokens,
                             std::max<int64_t>(max_seqlen, *std::max_element(lengths.begin(), lengths.end())),
                             heads,
                             head_size};
  shape.dropout = {1, 2, static_cast<uint32_t>(std::ceil(p * 0x1p24)), 1 / (1 - p)};
  const DeviceArray<float> lse(cuda::attention_lse_size(shape)), delta(cuda::attention_lse_size(shape));
  const DeviceArray<uint64_t> mask(cuda::attention_mask_size(shape));
  uint64_t* const masks = p > 0 ? mask.get() : nullptr;
  const cuda::AttentionInputs<T> in{qkv.get(), qkv.get() + width, qkv.get() + 2 * width, 3 * width, 3 * width, 3 * width};
  const cuda::AttentionGradients<T> to{
      gradients.get(), gradients.get() + width, gradients.get() + 2 * width, 3 * width, 3 * width, 3 * width};
  const double forward =
      median_us(rounds, [&] { cuda::attention_forward(shape, in, out.get(), width, lse.get(), masks, nullptr); });
  const double backward = median_us(rounds, [&] {
    cuda::attention_backward<T>(shape, in, d_out.get(), width, out.get(), width, lse.get(), masks, to, delta.get(), nullptr);
  });
  std::printf("%-24s dropout %.1f  forward %7.1f us %6.1f TFLOP/s   backward %7.1f us %6.1f TFLOP/s\n", name, p, forward,
              4e-6 * scores * head_size / forward, backward, 1e-5 * scores * head_size / backward);
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 21;
  std::mt19937 random(5);
  std::vector<int> short_texts(256);
  for (int& length : short_texts) length = 10 + static_cast<int>(random() % 41);
  for (const float p : {0.f, 0.1f}) {
    measure("32 x 128, 12 x 64", std::vector<int>(32, 128), 12, 64, p, rounds);
    // As if there were longer samples: backward in two kernels.
    measure("32 x 128, up to 192", std::vector<int>(32, 128), 12, 64, p, rounds, 192);
    measure("32 x 384, 16 x 64", std::vector<int>(32, 384), 16, 64, p, rounds);
    measure("32 x 512, 16 x 64", std::vector<int>(32, 512), 16, 64, p, rounds);
    measure("256 x 10..50, 12 x 64", short_texts, 12, 64, p, rounds);
    measure("256 x 10..50, up to 128", short_texts, 12, 64, p, rounds, 128);
  }
}
