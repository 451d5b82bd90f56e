// The optimizer's kernels, compiled by g++ on fibers and by nvcc on a GPU, against plain loops and the CPU's own kernel.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "tests/support/device_array.h"
#include "trainer/kernels/cpu/args.h"
#include "trainer/kernels/cuda/adamw.h"
#include "trainer/optim/adamw_kernels.h"

namespace berth::train::cuda {
namespace {

using kernels::AdamWNumbers;
using kernels::Bf16;
using kernels::Fp16;
using kernels::kDecays;
using kernels::kHasMoments;
using kernels::kMostRates;
using kernels::kRateShift;
using kernels::StepPlan;
using test::DeviceArray;
using Floats = std::vector<float>;

constexpr float kInfinity = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();
constexpr AdamWNumbers kNumbers{
    .rates = {1e-2, 3e-3, 0}, .weight_decay = 0.1, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .max_grad_norm = 1.0};

Floats random_floats(size_t n, float scale, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  Floats values(n);
  for (float& value : values) value = normal(random);
  return values;
}

StepPlan decided(const std::vector<Floats>& arrays, float loss, const AdamWNumbers& numbers, const StepPlan& before) {
  std::vector<int64_t> sums;
  int64_t count = 0;
  for (const Floats& array : arrays) sums.push_back(partial_sums(std::ssize(array))), count += sums.back();
  const DeviceArray<double> partials(count);
  int64_t begin = 0;
  for (size_t i = 0; i < arrays.size(); ++i) {
    const DeviceArray<float> x(arrays[i]);
    sum_squares(x.data(), std::ssize(arrays[i]), partials.data() + begin, nullptr);
    begin += sums[i];
    partials.read();  // x is to outlive the kernel
  }
  const DeviceArray<float> losses(Floats{loss});
  const DeviceArray<StepPlan> scalars(std::vector<StepPlan>{before});
  decide_step(partials.data(), count, losses.data(), numbers, scalars.data(), nullptr);
  return scalars.read()[0];
}

double norm_of(const std::vector<Floats>& arrays) {
  long double sum = 0;
  for (const Floats& array : arrays)
    for (float x : array) sum += static_cast<long double>(x) * x;
  return static_cast<double>(std::sqrt(sum));
}

TEST(CudaAdamW, TheNormIsThatOfAllArraysAndTheSameInAnyOrderOfThreads) {
  for (const std::vector<size_t>& sizes :
       std::vector<std::vector<size_t>>{{1}, {3}, {0, 16}, {16384}, {16385, 4095}, {70001, 5, 32768}}) {
    std::vector<Floats> arrays;
    for (size_t size : sizes) arrays.push_back(random_floats(size, 0.3f, static_cast<uint32_t>(size)));
    const double norm = norm_of(arrays);
    double first = 0;
    for (uint64_t seed : {1, 2}) {
      test::shuffle_threads(seed);
      const StepPlan s = decided(arrays, 0.5f, kNumbers, {});
      EXPECT_NEAR(s.norm, norm, 1e-14 * norm * std::sqrt(static_cast<double>(sizes[0] + 1)));
      EXPECT_EQ(s.loss, 0.5);
      if (seed == 1) first = s.norm;
      EXPECT_EQ(s.norm, first);
    }
  }
}

TEST(CudaAdamW, DecidesAsTheHostWould) {
  StepPlan s{};
  s.updates = 41;
  const Floats gradient{3, -4, 0};  // norm 5
  s = decided({gradient}, 0.25f, kNumbers, s);
  EXPECT_EQ(s.finite, 1);
  EXPECT_EQ(s.updates, 42);
  EXPECT_EQ(s.grad_scale, static_cast<float>(1.0 / (5 + 1e-6)));
  EXPECT_EQ(s.rates[0].shrink, static_cast<float>(1 - 1e-2 * 0.1));
  EXPECT_FLOAT_EQ(s.rates[0].step_size, static_cast<float>(1e-2 / (1 - std::pow(0.9, 42.0))));
  EXPECT_EQ(s.rates[1].shrink, static_cast<float>(1 - 3e-3 * 0.1));
  EXPECT_FLOAT_EQ(s.rates[1].step_size, static_cast<float>(3e-3 / (1 - std::pow(0.9, 42.0))));
  EXPECT_FLOAT_EQ(s.inverse_sqrt_correction2, static_cast<float>(1 / std::sqrt(1 - std::pow(0.999, 42.0))));

  AdamWNumbers other = kNumbers;
  other.max_grad_norm = 6;
  EXPECT_EQ(decided({gradient}, 0.25f, other, s).grad_scale, 1) << "below the limit";
  other.max_grad_norm = 0;
  EXPECT_EQ(decided({{300, 400}}, 0.25f, other, s).grad_scale, 1) << "no clipping";

  const float largest = std::numeric_limits<float>::max();
  EXPECT_EQ(decided({{largest, largest}}, 0.25f, kNumbers, s).finite, 1) << "squares are no floats";
  for (const auto& [bad, loss] : std::vector<std::pair<Floats, float>>{{{1, kNan, 2}, 0.5f},
                                                                       {{1, kInfinity}, 0.5f},
                                                                       {{-kInfinity}, 0.5f},
                                                                       {{1, 2}, kNan},
                                                                       {{1, 2}, kInfinity},
                                                                       {{1, 2}, -kInfinity}}) {
    const StepPlan skipped = decided({gradient, bad}, loss, kNumbers, s);
    EXPECT_EQ(skipped.finite, 0);
    EXPECT_EQ(skipped.updates, 42) << "a step that is skipped does not count";
  }
}

TEST(CudaAdamW, SumsOfBitsAreThoseOfAPlainLoopInAnyOrderOfThreads) {
  for (size_t size : {2, 6, 16, 16384, 16386, 70002}) {
    Floats values = random_floats(size, 1, static_cast<uint32_t>(size));
    values.back() = kNan;
    uint64_t expected = 0;
    for (size_t i = 0; i < size; i += 2) {
      uint64_t word;
      std::memcpy(&word, &values[i], sizeof word);
      expected += word * (i + 1);
    }
    const DeviceArray<float> x(values);
    for (uint64_t seed : {1, 2}) {
      test::shuffle_threads(seed);
      const DeviceArray<uint64_t> partials(partial_sums(std::ssize(values)));
      sum_bits(x.data(), std::ssize(values), partials.data(), nullptr);
      uint64_t sum = 0;
      for (uint64_t partial : partials.read()) sum += partial;
      EXPECT_EQ(sum, expected) << size << " values";
    }
  }
}

TEST(CudaAdamW, AScaledGradientIsTheUnscaledOnesStepToTheBit) {
  const StepPlan plain = decided({{3, -4, 0.7f}}, 0.25f, kNumbers, {});
  AdamWNumbers numbers = kNumbers;
  numbers.scale_growth_interval = 2000;
  StepPlan before{};
  before.loss_scale = {.scale = 1024, .updates = 0};
  const StepPlan scaled = decided({{3 * 1024, -4 * 1024, 0.7f * 1024}}, 0.25f, numbers, before);
  EXPECT_EQ(scaled.norm, plain.norm);
  EXPECT_EQ(scaled.loss, plain.loss);
  EXPECT_EQ(scaled.grad_scale * 1024, plain.grad_scale) << "clips the unscaled gradient";
  EXPECT_EQ(scaled.rates[0].step_size, plain.rates[0].step_size);
  EXPECT_EQ(scaled.loss_scale.scale, 1024);
  EXPECT_EQ(scaled.loss_scale.updates, 1);
}

// One gradient a step, and what becomes of the scale; as torch.amp.GradScaler, but for the floor.
TEST(CudaAdamW, TheLossScaleHalvesOnOverflowAndDoublesAfterAnInterval) {
  AdamWNumbers numbers = kNumbers;
  numbers.scale_growth_interval = 3;
  StepPlan s{};
  s.loss_scale = {.scale = 8, .updates = 0};
  const auto expect = [&](float gradient, float loss, int finite, int overflowed, float scale, int since) {
    s = decided({{0.5f, gradient}}, loss, numbers, s);
    EXPECT_EQ(s.finite, finite);
    EXPECT_EQ(s.overflowed, overflowed);
    EXPECT_EQ(s.loss_scale.scale, scale);
    EXPECT_EQ(s.loss_scale.updates, since);
  };
  expect(1, 1, 1, 0, 8, 1);
  expect(1, 1, 1, 0, 8, 2);
  expect(1, 1, 1, 0, 16, 0);
  expect(1, 1, 1, 0, 16, 1);
  expect(kInfinity, 1, 0, 1, 8, 0);
  expect(1, 1, 1, 0, 8, 1);
  expect(1, kNan, 0, 0, 8, 1);  // the loss itself: no scale helps
  expect(kNan, kInfinity, 0, 0, 8, 1);
  expect(kNan, 1, 0, 1, 4, 0);
  expect(-kInfinity, 1, 0, 1, 2, 0);
  expect(kInfinity, 1, 0, 1, 1, 0);
  EXPECT_EQ(s.updates, 5);
  expect(kInfinity, 1, 0, 0, 1, 0);  // unscaled, and not finite
  expect(1, 1, 1, 0, 1, 1);
  s.loss_scale = {.scale = 0x1p127f, .updates = 2};
  expect(1, 1, 1, 0, 0x1p127f, 0);  // twice that is no float
}

TEST(CudaAdamW, AStepThatIsNotFiniteHaltsThoseBehindItWhereItIsToldSo) {
  for (const int32_t halts : {0, 1}) {
    AdamWNumbers numbers = kNumbers;
    numbers.halts = halts;
    StepPlan s = decided({{3, 4}}, 0.5f, numbers, {});
    s = decided({{3, kNan}}, 0.5f, numbers, s);
    for (int step = 0; step < 2; ++step) {
      s = decided({{3, 4}}, 0.5f, numbers, s);
      EXPECT_EQ(s.finite, halts ? 0 : 1);
      EXPECT_EQ(s.norm, 5) << "which is told as it is";
    }
    EXPECT_EQ(s.updates, halts ? 1 : 3);
  }
}

// A bucket on the host, updated in the plainest way.
struct HostBucket {
  Floats values, first, second;
  std::vector<uint8_t> flags;
  size_t group;

  HostBucket(size_t n, size_t elements, const std::vector<uint8_t>& pattern)
      : values(random_floats(n, 0.05f, 1)), first(n, 0), second(n, 0), group(elements) {
    for (size_t i = 0; i * group < n; ++i) flags.push_back(pattern[i % pattern.size()]);
  }
  uint8_t flag(size_t i) const { return flags[i / group]; }

  void update(const Floats& grads, const AdamWNumbers& numbers, const StepPlan& s) {
    const auto beta1 = static_cast<float>(numbers.beta1), beta2 = static_cast<float>(numbers.beta2);
    for (size_t i = 0; i < values.size(); ++i) {
      const kernels::StepRate& rate = s.rates[flag(i) >> kRateShift];
      const float shrink = flag(i) & kDecays ? rate.shrink : 1;
      if (!(flag(i) & kHasMoments)) {
        values[i] *= shrink;
        continue;
      }
      const float g = grads[i] * s.grad_scale, one = (1 - beta1) * g, two = (1 - beta2) * g;
      const float square = two * g;
      first[i] = std::fma(beta1, first[i], one);
      second[i] = std::fma(beta2, second[i], square);
      const float divisor = std::fma(std::sqrt(second[i]), s.inverse_sqrt_correction2, static_cast<float>(numbers.epsilon));
      const float way = rate.step_size * first[i] / divisor;
      values[i] = std::fma(values[i], shrink, -way);
    }
  }
};

// The same on the device.
template <class T>
struct OnDevice {
  DeviceArray<float> values, first, second;
  DeviceArray<uint8_t> flags;
  DeviceArray<T> copy;

  explicit OnDevice(const HostBucket& host)
      : values(host.values), first(host.first), second(host.second), flags(host.flags), copy(std::ssize(host.values)) {}
  void update(const Floats& grads, const HostBucket& host, const AdamWNumbers& numbers, const StepPlan& s, bool with_copy) const {
    const DeviceArray<float> g(grads);
    const DeviceArray<StepPlan> scalars(std::vector<StepPlan>{s});
    adamw<T>({values.data(), g.data(), first.data(), second.data(), with_copy ? copy.data() : nullptr, std::ssize(grads),
              flags.data(), static_cast<int64_t>(host.group)},
             numbers, scalars.data(), nullptr);
    values.read();  // g and scalars are to outlive the kernel
  }
};

bool same_bits(const Floats& a, const Floats& b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](float x, float y) { return memcmp(&x, &y, sizeof(x)) == 0; });
}

float widened(Bf16 x) {
  const uint32_t bits = uint32_t{x.bits} << 16;
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}
float widened(Fp16 x) {
  const int exponent = x.bits >> 10 & 31, fraction = x.bits & 1023;
  const float value = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                    : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
  return x.bits & 0x8000 ? -value : value;
}
// What rounding to the nearest may change x by.
float half_a_place(Bf16, float x) { return std::fabs(x) * 0x1p-8f; }
float half_a_place(Fp16, float x) { return std::max(std::fabs(x) * 0x1p-11f, 0x1p-25f); }

struct Case {
  size_t n, group;
  std::vector<uint8_t> pattern;
};
const Case kCases[] = {
    {4096, 16, {kHasMoments | kDecays, kHasMoments}},
    {1, 16, {kHasMoments | kDecays}},
    {35, 16, {kHasMoments | kDecays, kHasMoments, kHasMoments | kDecays}},
    {60, 12, {kHasMoments | kDecays, kDecays, kDecays}},
    {60, 12, {kHasMoments, 0}},
    {3 * 1027, 5, {kHasMoments | kDecays, kDecays, kHasMoments, 0}},  // groups that end within vectors
    {2049, 1, {kHasMoments | kDecays, kDecays, 0}},
    {1000, 16, {kHasMoments | kDecays, kHasMoments | kDecays | 1 << kRateShift, kHasMoments | 2 << kRateShift}},
    {1000, 3, {kDecays | 1 << kRateShift, kDecays, kHasMoments | kDecays | (kMostRates - 1) << kRateShift}},
};

template <class T>
class CudaAdamWCopy : public testing::Test {};
using Types = testing::Types<Bf16, Fp16>;
TYPED_TEST_SUITE(CudaAdamWCopy, Types);

TYPED_TEST(CudaAdamWCopy, UpdatesAreAPlainLoopsToTheBitAndTheCopyIsTheirs) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(testing::Message() << c.n << " elements in groups of " << c.group);
    HostBucket host(c.n, c.group, c.pattern);
    const OnDevice<TypeParam> device(host);
    StepPlan s{};
    for (uint32_t step = 0; step < 4; ++step) {
      test::shuffle_threads(step);
      const Floats grads = random_floats(c.n, 0.5f, 10 + step);
      s = decided({grads}, 1, kNumbers, s);
      const bool with_copy = step != 2;
      const std::vector<TypeParam> copied = device.copy.read();
      device.update(grads, host, kNumbers, s, with_copy);
      host.update(grads, kNumbers, s);
      ASSERT_TRUE(same_bits(device.values.read(), host.values)) << "step " << step;
      ASSERT_TRUE(same_bits(device.first.read(), host.first)) << "step " << step;
      ASSERT_TRUE(same_bits(device.second.read(), host.second)) << "step " << step;
      const std::vector<TypeParam> copy = device.copy.read();
      for (size_t i = 0; i < c.n; ++i) {
        if (!with_copy || host.flag(i) == 0)  // an element that stays as it is may keep its copy
          ASSERT_TRUE(copy[i].bits == copied[i].bits || host.flag(i) == 0) << i;
        else
          ASSERT_LE(std::fabs(widened(copy[i]) - host.values[i]), half_a_place(TypeParam{}, host.values[i])) << i;
      }
    }
  }
}

TEST(CudaAdamW, AgreesWithTheCpusKernel) {
  constexpr size_t kN = 3000;
  HostBucket host(kN, 16, {kHasMoments | kDecays});
  const OnDevice<Bf16> device(host);
  StepPlan s{};
  for (uint32_t step = 0; step < 6; ++step) {
    const Floats grads = random_floats(kN, 0.5f, step);
    s = decided({grads}, 1, kNumbers, s);
    device.update(grads, host, kNumbers, s, false);
    kernels::adamw(host.values.data(), grads.data(), host.first.data(), host.second.data(), kN,
                   {.shrink = s.rates[0].shrink,
                    .beta1 = 0.9f,
                    .beta2 = 0.999f,
                    .epsilon = 1e-8f,
                    .step_size = s.rates[0].step_size,
                    .inverse_sqrt_correction2 = s.inverse_sqrt_correction2,
                    .grad_scale = s.grad_scale});
  }
  // The same bits where that is compiled with fused multiply-adds at the same places (GCC does), else a few roundings apart.
  const Floats values = device.values.read();
  for (size_t i = 0; i < kN; ++i) EXPECT_NEAR(values[i], host.values[i], 5e-7f * std::max(0.05f, std::fabs(host.values[i])));
}

TEST(CudaAdamW, AStepThatIsNotFiniteWritesNothing) {
  HostBucket host(100, 16, {kHasMoments | kDecays, kDecays});
  const OnDevice<Bf16> device(host);
  const Floats grads(100, kNan);
  const StepPlan s = decided({grads}, 1, kNumbers, {});
  device.update(grads, host, kNumbers, s, true);
  EXPECT_TRUE(same_bits(device.values.read(), host.values));
  EXPECT_TRUE(same_bits(device.first.read(), host.first));
  EXPECT_TRUE(same_bits(device.second.read(), host.second));
  for (Bf16 copy : device.copy.read()) EXPECT_EQ(copy.bits, 0xFFFF) << "as it was";
}

}  // namespace
}  // namespace berth::train::cuda
