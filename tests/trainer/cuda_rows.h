// What tests of berth's CUDA kernels for rows share: 16-bit numbers in double's own arithmetic, independent of the kernels' conversions; rows, dropout, errors.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/device_array.h"
#include "trainer/kernels/cpu/table.h"
#include "trainer/kernels/cuda/kernels.h"

namespace berth::train::cuda {

inline const cpu::TypedTable<float>& reference() { return cpu::kTable_generic.f32; }

inline float value_of(float x) { return x; }
inline float value_of(kernels::Bf16 x) { return std::bit_cast<float>(uint32_t{x.bits} << 16); }
inline float value_of(kernels::Fp16 x) {
  const int exponent = x.bits >> 10 & 31, fraction = x.bits & 1023;
  const double magnitude = exponent == 31  ? (fraction != 0 ? NAN : INFINITY)
                           : exponent == 0 ? std::ldexp(fraction, -24)
                                           : std::ldexp(1024 + fraction, exponent - 25);
  return static_cast<float>((x.bits & 0x8000) != 0 ? -magnitude : magnitude);
}
// The nearest number of the type, for finite x in its range.
template <class T>
T nearest(float x) {
  if constexpr (std::is_same_v<T, float>) {
    return x;
  } else {
    T low{static_cast<uint16_t>(x < 0 ? 0x8000 : 0)};
    for (int bit = 14; bit >= 0; --bit) {
      const T next{static_cast<uint16_t>(low.bits | 1 << bit)};
      if (std::abs(value_of(next)) <= std::abs(x)) low = next;
    }
    const T high{static_cast<uint16_t>(low.bits + 1)};
    return std::abs(x - value_of(low)) <= std::abs(value_of(high) - x) ? low : high;
  }
}
template <class T>
std::vector<T> nearest(const std::vector<float>& values) {
  std::vector<T> result(values.size());
  std::transform(values.begin(), values.end(), result.begin(), [](float x) { return nearest<T>(x); });
  return result;
}
template <class T>
std::vector<float> values_of(const std::vector<T>& numbers) {
  std::vector<float> result(numbers.size());
  std::transform(numbers.begin(), numbers.end(), result.begin(), [](T x) { return value_of(x); });
  return result;
}

template <class T>
std::string bits_of(const std::vector<T>& numbers) {
  return std::string(reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(T));
}

// The length of the difference over the length of what is expected; NaN anywhere is far off.
template <class A, class B>
double error(const std::vector<A>& got, const std::vector<B>& expected) {
  EXPECT_EQ(got.size(), expected.size());
  double off = 0, length = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double e = expected[i], d = value_of(got[i]) - e;
    off += d * d;
    length += e * e;
  }
  const double result = std::sqrt(off / std::max(length, 1e-30));
  return result == result ? result : 1e30;
}

template <class T>
class RowsOf : public ::testing::Test {
 protected:
  // Results are rounded to T once; gradients see a normalized row that was rounded to T before.
  static constexpr double kTolerance = std::is_same_v<T, float> ? 3e-6 : std::is_same_v<T, kernels::Bf16> ? 4e-3 : 5e-4;

  std::vector<float> normal(int64_t count, float scale = 1, float mean = 0) {
    std::normal_distribution<float> draw(mean, scale);
    std::vector<float> values(static_cast<size_t>(count));
    for (float& x : values) x = draw(random_);
    return values;
  }
  std::vector<T> rows(int64_t count, float scale = 1) { return nearest<T>(normal(count, scale)); }
  std::mt19937& random() { return random_; }

 private:
  std::mt19937 random_{7};
};
using RowTypes = ::testing::Types<float, kernels::Bf16, kernels::Fp16>;

inline kernels::DropoutArgs dropout_of(double p) {
  return {0x12345678u, 0x9abcdef0u, static_cast<uint32_t>(std::ceil(p * 0x1p24)), static_cast<float>(1 / (1 - p))};
}

// Where rows belong, on the host and on the device.
struct Places {
  explicit Places(int64_t rows) : samples(static_cast<size_t>(rows)), positions(samples.size()), on_device(fill()) {}
  kernels::RowArgs host(int64_t columns) const { return {samples.data(), positions.data(), columns}; }
  kernels::RowArgs device(int64_t columns) const { return {on_device.first->data(), on_device.second->data(), columns}; }

  std::vector<int64_t> samples;
  std::vector<int32_t> positions;
  const std::pair<std::unique_ptr<test::DeviceArray<int64_t>>, std::unique_ptr<test::DeviceArray<int32_t>>> on_device;

 private:
  std::pair<std::unique_ptr<test::DeviceArray<int64_t>>, std::unique_ptr<test::DeviceArray<int32_t>>> fill() {
    for (size_t r = 0; r < samples.size(); ++r) {
      samples[r] = 5'000'000'000 + static_cast<int64_t>(r) / 7 * 1'000'003;
      positions[r] = static_cast<int32_t>(r % 7 * 37);
    }
    return {std::make_unique<test::DeviceArray<int64_t>>(samples), std::make_unique<test::DeviceArray<int32_t>>(positions)};
  }
};

}  // namespace berth::train::cuda
