// Attention on packed rows, compiled by g++ on fibers and by nvcc on a GPU, against the CPU's in fp32: the same masks, the same numbers up
// to what T rounds.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include "data/check.h"
#include "data/philox.h"
#include "tests/support/device_array.h"
#include "trainer/kernels/cpu/table.h"
#include "trainer/kernels/cuda/attention.h"
#include "trainer/kernels/cuda/device.cuh"

namespace berth::train::cuda {
namespace {

using test::DeviceArray;
using test::shuffle_threads;

template <class T>
float widened(T x) {
  return to_float(x);
}
template <class T>
T narrowed(float x) {
  T result;
  from_float(x, result);
  return result;
}

struct Case {
  std::vector<int> lengths;
  int64_t heads, size;
  bool first_query_only = false;
  float p = 0;
  bool tensor_cores = true;
  int64_t room = 0;  // for longer samples than there are

  int64_t width() const { return heads * size; }
  int64_t tokens() const { return std::accumulate(lengths.begin(), lengths.end(), int64_t{0}); }
  int64_t longest() const { return *std::max_element(lengths.begin(), lengths.end()); }
  int64_t queries() const { return first_query_only ? std::ssize(lengths) : tokens(); }
  std::vector<int32_t> cu_seqlens() const {
    std::vector<int32_t> ends = {0};
    for (const int length : lengths) ends.push_back(ends.back() + length);
    return ends;
  }
  std::vector<int64_t> samples() const {
    std::vector<int64_t> ids;
    for (size_t b = 0; b < lengths.size(); ++b) ids.push_back(5'000'000'000 + 7 * static_cast<int64_t>(b));
    return ids;
  }
  kernels::DropoutArgs dropout() const {
    const PhiloxKey key = philox_key(42, Purpose::kAttentionDropout, 17, 3);
    return {key[0], key[1], static_cast<uint32_t>(std::ceil(static_cast<double>(p) * 0x1p24)), 1 / (1 - p)};
  }
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  out << c.heads << " heads of " << c.size << ", p " << c.p << (c.first_query_only ? ", first queries" : "")
      << (c.tensor_cores ? "" : ", no tensor cores") << ", room for " << c.room << " more, lengths";
  for (const int length : c.lengths) out << ' ' << length;
  return out;
}

// Values of the inputs, rounded to T, in fp32: dense.
struct Values {
  std::vector<float> q, k, v, d_out;
};
template <class T>
std::vector<float> random_values(int64_t n, float factor, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(n));
  for (float& x : values) x = widened(narrowed<T>(factor * normal(random)));
  return values;
}
template <class T>
Values random_inputs(const Case& c) {
  std::mt19937 random(7);
  const int64_t queries = c.queries() * c.width(), keys = c.tokens() * c.width();
  return {random_values<T>(queries, 1.5f, random), random_values<T>(keys, 1.5f, random), random_values<T>(keys, 1, random),
          random_values<T>(queries, 1, random)};
}

// Row first + i of each sample and head is 1 in column i, for `size` rows; else 0.
std::vector<float> identity(const Case& c, bool first_query_only, int64_t first = 0) {
  const auto starts = c.cu_seqlens();
  std::vector<float> values(static_cast<size_t>((first_query_only ? c.queries() : c.tokens()) * c.width()));
  for (size_t b = 0; b < c.lengths.size(); ++b)
    for (int64_t h = 0; h < c.heads; ++h)
      for (int64_t i = 0; i < c.size && first + i < (first_query_only ? 1 : c.lengths[b]); ++i)
        values[((first_query_only ? static_cast<int64_t>(b) : starts[b]) + first + i) * c.width() + h * c.size + i] = 1;
  return values;
}

struct Results {
  std::vector<float> out, dq, dk, dv;
  std::vector<float> lse;  // of the device
};

Results on_cpu_table(const Case& c, const Values& values) {
  const auto& table = cpu::kTable_generic.f32;
  Results results;
  std::vector<int64_t> offsets;
  int64_t weights = 0;
  for (const int64_t length : c.lengths) {
    offsets.push_back(weights);
    weights += c.heads * (c.first_query_only ? 1 : length) * ((length + 15) / 16 * 16);
  }
  std::vector<float> kept(static_cast<size_t>(weights) + 64);
  const auto cu_seqlens = c.cu_seqlens();
  const auto samples = c.samples();
  const int64_t width = c.width(), pairs = std::ssize(c.lengths) * c.heads;
  const cpu::AttentionArgs<float> args{values.q.data(), values.k.data(),    values.v.data(), width,          width,
                                       width,           cu_seqlens.data(),  samples.data(),  offsets.data(), c.heads,
                                       c.size,          c.first_query_only, c.dropout(),     kept.data()};
  const int64_t pitch = (c.longest() + 15) / 16 * 16;
  std::vector<float> scratch(static_cast<size_t>(4 * pitch * c.size + cpu::kAttentionQueryBlock * (3 * c.size + 2 * pitch)) + 16);
  float* const aligned = reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(scratch.data()) + 63) / 64 * 64);
  results.out.resize(values.q.size());
  results.dq.resize(values.q.size());
  results.dk.resize(values.k.size());
  results.dv.resize(values.k.size());
  table.attention_forward(args, results.out.data(), width, 0, pairs, aligned);
  table.attention_backward(args, values.d_out.data(),
                           {results.dq.data(), results.dk.data(), results.dv.data(), width, width, width}, 0, pairs, aligned);
  return results;
}

// Rows of `width` in rows of `stride`, from column `first` on; NaN elsewhere.
template <class T>
void place(const std::vector<float>& values, int64_t width, int64_t stride, int64_t first, std::vector<T>& to) {
  const int64_t rows = std::ssize(values) / width;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t col = 0; col < width; ++col) to[r * stride + first + col] = narrowed<T>(values[r * width + col]);
}
template <class T>
std::vector<float> taken(const std::vector<T>& from, int64_t rows, int64_t width, int64_t stride, int64_t first) {
  std::vector<float> values;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t col = 0; col < width; ++col) values.push_back(widened(from[r * stride + first + col]));
  return values;
}
template <class T>
std::vector<T> full_of_nan(int64_t n) {
  return std::vector<T>(static_cast<size_t>(n), narrowed<T>(NAN));
}

// k and v are slices of one [tokens, 3 H], and so is q unless it is of first queries; so are the gradients. Rows of out and d_out lie
// 8 elements further apart than they need.
template <class T>
Results on_device(const Case& c, const Values& values) {
  const int64_t width = c.width(), wide = 3 * width, apart = width + 8, tokens = c.tokens(), queries = c.queries();
  const int64_t q_stride = c.first_query_only ? apart : wide;
  std::vector<T> packed = full_of_nan<T>(tokens * wide), first = full_of_nan<T>(queries * apart), d_outs = first;
  place(values.k, width, wide, width, packed);
  place(values.v, width, wide, 2 * width, packed);
  place(values.q, width, q_stride, 0, c.first_query_only ? first : packed);
  place(values.d_out, width, apart, 0, d_outs);

  const DeviceArray<T> qkv(packed), first_q(first), d_out(d_outs), out(full_of_nan<T>(queries * apart));
  const DeviceArray<T> gradients(full_of_nan<T>(tokens * wide)), first_dq(full_of_nan<T>(queries * apart));
  const DeviceArray<int32_t> cu_seqlens(c.cu_seqlens());
  const DeviceArray<int64_t> samples(c.samples());
  AttentionShape shape{cu_seqlens.data(), samples.data(), std::ssize(c.lengths), tokens, c.longest() + c.room, c.heads, c.size};
  shape.first_query_only = c.first_query_only;
  shape.dropout = c.dropout();
  shape.tensor_cores = c.tensor_cores;
  const DeviceArray<float> lse(attention_lse_size(shape)), delta(attention_lse_size(shape));
  const DeviceArray<uint64_t> mask(attention_mask_size(shape));
  uint64_t* const masks = attention_mask_size(shape) > 0 ? mask.data() : nullptr;
  const AttentionInputs<T> inputs{
      c.first_query_only ? first_q.data() : qkv.data(), qkv.data() + width, qkv.data() + 2 * width, q_stride, wide, wide};
  const AttentionGradients<T> to{c.first_query_only ? first_dq.data() : gradients.data(),
                                 gradients.data() + width,
                                 gradients.data() + 2 * width,
                                 q_stride,
                                 wide,
                                 wide};
  attention_forward(shape, inputs, out.data(), apart, lse.data(), masks, nullptr);
  attention_backward<T>(shape, inputs, d_out.data(), apart, out.data(), apart, lse.data(), masks, to, delta.data(), nullptr);

  Results results;
  const std::vector<T> outs = out.read(), grads = gradients.read();
  results.out = taken(outs, queries, width, apart, 0);
  results.dq = taken(c.first_query_only ? first_dq.read() : grads, queries, width, q_stride, 0);
  results.dk = taken(grads, tokens, width, wide, width);
  results.dv = taken(grads, tokens, width, wide, 2 * width);
  for (const float x : taken(outs, queries, 8, apart, width)) EXPECT_TRUE(std::isnan(x)) << "written between rows";
  results.lse = lse.read();
  return results;
}

double relative_error(const std::vector<float>& actual, const std::vector<float>& expected) {
  double highest = 1e-6, error = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double difference = std::abs(double{actual[i]} - expected[i]);
    if (!(difference < INFINITY)) return INFINITY;
    error = std::max(error, difference);
    highest = std::max(highest, std::abs(double{expected[i]}));
  }
  return error / highest;
}

// Largest error over largest value. Weights and score gradients are rounded to T before they are multiplied on tensor cores, results
// always, and sums of out's rounding errors reach the gradients through delta.
template <class T>
constexpr double kTolerance = 1e-5;
template <>
constexpr double kTolerance<Bf16> = 1.5e-2;
template <>
constexpr double kTolerance<Fp16> = 2e-3;

template <class T>
class CudaAttention : public ::testing::Test {
 protected:
  void SetUp() override { shuffle_threads(1); }

  void compare(const Case& c) {
    SCOPED_TRACE(::testing::Message() << c);
    const Values values = random_inputs<T>(c);
    expect_near(on_device<T>(c, values), on_cpu_table(c, values));
  }
  void expect_near(const Results& actual, const Results& expected, double tolerance = kTolerance<T>) {
    EXPECT_LT(relative_error(actual.out, expected.out), tolerance);
    EXPECT_LT(relative_error(actual.dq, expected.dq), tolerance);
    EXPECT_LT(relative_error(actual.dk, expected.dk), tolerance);
    EXPECT_LT(relative_error(actual.dv, expected.dv), tolerance);
  }
  // Both ways to multiply, where there are two.
  void compare_all(Case c) {
    compare(c);
    c.tensor_cores = false;
    if (sizeof(T) == 2) compare(c);
  }
};
using Types = ::testing::Types<float, Bf16, Fp16>;
TYPED_TEST_SUITE(CudaAttention, Types);

// Samples of up to 64, up to 128 and more tokens are different kernels' in backward.
TYPED_TEST(CudaAttention, EqualsTheCpuInOneTile) {
  this->compare_all({{17, 1, 64, 2, 16, 15, 33, 63}, 2, 64, false, 0.1f});
  this->compare_all({{17, 1, 64, 2, 16, 15, 33, 63}, 3, 32, false, 0.1f});
}

TYPED_TEST(CudaAttention, EqualsTheCpuInTwoTiles) {
  this->compare_all({{1, 128, 17, 65, 64, 100}, 1, 64, false, 0.1f});
  this->compare_all({{1, 127, 17, 65, 96}, 2, 32, false, 0.1f});
}

TYPED_TEST(CudaAttention, EqualsTheCpuInMoreTiles) {
  this->compare_all({{1, 200, 63, 65}, 1, 64, false, 0.1f});
  this->compare_all({{129, 2}, 2, 32, false, 0.1f});
}

TYPED_TEST(CudaAttention, EqualsTheCpuWithRoomForLongerSamples) {
  for (const int64_t room : {10, 50, 120}) this->compare_all({{33, 20}, 1, 64, false, 0.1f, true, room});
  this->compare({{33, 20}, 1, 32, true, 0.1f, true, 50});
}

TYPED_TEST(CudaAttention, EqualsTheCpuWithoutDropout) {
  this->compare_all({{70, 3, 130}, 1, 64});
  this->compare_all({{33, 64}, 3, 32});
  this->compare_all({{33, 90}, 1, 64});
}

TYPED_TEST(CudaAttention, EqualsTheCpuForFirstQueries) {
  this->compare({{17, 1, 64, 2, 65, 16, 15, 63, 300}, 3, 64, true, 0.1f});
  this->compare({{17, 1, 64, 2, 65, 16, 15, 63, 300}, 2, 32, true, 0.5f});
  this->compare({{40, 200}, 2, 64, true, 0});
}

// Values are columns of the identity, so that out is the weights, and zero where they are dropped; likewise dv, of gradients that are.
TYPED_TEST(CudaAttention, WeightsAreDroppedByTheCpusMask) {
  struct Kind {
    bool first_query_only, tensor_cores;
    std::vector<int> lengths;
  };
  const std::vector<int> lengths = {1, 2, 15, 16, 17, 33, 48, 63, 64, 65, 100, 130};
  for (const Kind& kind : {Kind{true, true, lengths}, Kind{false, true, lengths}, Kind{false, false, lengths},
                           Kind{false, true, {48, 17}}, Kind{false, true, {100, 65}}}) {
    if (sizeof(TypeParam) == 4 && !kind.tensor_cores) continue;
    const bool first_query_only = kind.first_query_only;
    const Case c{kind.lengths, 1, 64, first_query_only, 0.3f, kind.tensor_cores};
    SCOPED_TRACE(::testing::Message() << c);
    Values values = random_inputs<TypeParam>(c);
    for (float& x : values.k) x = x > 0 ? 0.5f : -0.5f;  // no weight is so small that it is rounded to zero
    double zeros = 0, weights = 0;
    for (int64_t first = 0; first < c.longest(); first += c.size) {
      values.v = identity(c, false, first);
      values.d_out = identity(c, first_query_only, first);
      const Results expected = on_cpu_table(c, values), actual = on_device<TypeParam>(c, values);
      for (size_t i = 0; i < expected.out.size(); ++i) ASSERT_EQ(actual.out[i] == 0, expected.out[i] == 0) << first << ' ' << i;
      for (size_t i = 0; i < expected.dv.size(); ++i) ASSERT_EQ(actual.dv[i] == 0, expected.dv[i] == 0) << first << ' ' << i;
      for (size_t b = 0, query = 0; b < c.lengths.size(); ++b)
        for (int q = 0; q < (first_query_only ? 1 : c.lengths[b]); ++q, ++query)
          for (int64_t i = 0; i < c.size && first + i < c.lengths[b]; ++i) {
            zeros += expected.out[query * c.width() + i] == 0;
            ++weights;
          }
    }
    EXPECT_NEAR(zeros / weights, 0.3, 0.03);
  }
}

// Keys and queries are columns of the identity, so that dq and dk are the gradients of scores; the gradients of the weights are all
// alike, and so those of scores are negative where they are dropped, positive elsewhere.
TYPED_TEST(CudaAttention, ScoreGradientsAreDroppedByTheMask) {
  struct Kind {
    bool tensor_cores;
    std::vector<int> lengths;
  };
  for (const Kind& kind : {Kind{true, {50, 64}}, Kind{false, {50, 64}}, Kind{true, {40, 128}}, Kind{true, {30, 150}}}) {
    if (!kind.tensor_cores && sizeof(TypeParam) == 4) continue;
    const Case c{kind.lengths, 1, 64, false, 0.3f, kind.tensor_cores};
    SCOPED_TRACE(::testing::Message() << c);
    const std::vector<float> ones(static_cast<size_t>(c.tokens() * c.width()), 1);
    const Values values{identity(c, false), identity(c, false), ones, ones};
    const Results expected = on_cpu_table(c, values), actual = on_device<TypeParam>(c, values);
    int64_t negative = 0;
    for (size_t i = 0; i < ones.size(); ++i) {
      ASSERT_EQ(std::signbit(actual.dq[i]), std::signbit(expected.dq[i])) << i;
      ASSERT_EQ(std::signbit(actual.dk[i]), std::signbit(expected.dk[i])) << i;
      negative += expected.dq[i] < 0;
    }
    EXPECT_GT(negative, 0);
  }
}

TYPED_TEST(CudaAttention, SameBitsInAnyOrder) {
  for (const Case& c : {Case{{70, 130, 3}, 1, 64, false, 0.1f}, Case{{70, 100, 3}, 2, 64, false, 0.1f},
                        Case{{60, 3}, 2, 32, false, 0.1f}, Case{{70, 130, 3}, 2, 64, true, 0.1f}}) {
    SCOPED_TRACE(::testing::Message() << c);
    const Values values = random_inputs<TypeParam>(c);
    const Results once = on_device<TypeParam>(c, values);
    shuffle_threads(99);
    const Results again = on_device<TypeParam>(c, values);
    EXPECT_EQ(once.out, again.out);
    EXPECT_EQ(once.lse, again.lse);
    EXPECT_EQ(once.dq, again.dq);
    EXPECT_EQ(once.dk, again.dk);
    EXPECT_EQ(once.dv, again.dv);
  }
}

// The exponential of minus the log-sum-exp overflows: the weights of keys beyond the sample's end must not.
TYPED_TEST(CudaAttention, LowScoresStayFinite) {
  for (const std::vector<int>& lengths : {std::vector<int>{5, 60}, std::vector<int>{5, 70}, std::vector<int>{5, 130}}) {
    const Case c{lengths, 1, 64, false, 0.1f};
    SCOPED_TRACE(::testing::Message() << c);
    Values values = random_inputs<TypeParam>(c);
    for (size_t i = 0; i < values.q.size(); i += 64) values.q[i] = 20, values.k[i] = -48;
    Results expected = on_cpu_table(c, values), actual = on_device<TypeParam>(c, values);
    EXPECT_LT(actual.lse[0], -100);
    // Column 0 of dq is -48 times a sum of score gradients that is zero but for rounding.
    for (size_t i = 0; i < values.q.size(); i += 64) {
      EXPECT_LT(std::abs(actual.dq[i]), 1);
      actual.dq[i] = expected.dq[i] = 0;
    }
    // Scores of -120 are rounded as often as those of 1, but to 1e-5.
    this->expect_near(actual, expected, std::max(4e-5, kTolerance<TypeParam>));
  }
}

TEST(CudaAttentionCalls, RefuseWhatKernelsDoNotTake) {
  EXPECT_TRUE(attention_supported(32));
  EXPECT_TRUE(attention_supported(64));
  EXPECT_FALSE(attention_supported(48));
  const DeviceArray<int32_t> cu_seqlens(std::vector<int32_t>{0, 5});
  const DeviceArray<float> rows(5 * 64), lse(5);
  AttentionShape shape{cu_seqlens.data(), nullptr, 1, 5, 5, 1, 48};
  const auto call = [&](int64_t offset, int64_t stride) {
    const float* in = rows.data() + offset;
    attention_forward(shape, {in, in, in, stride, stride, stride}, rows.data(), 64, lse.data(), nullptr, nullptr);
  };
  EXPECT_THROW(call(0, 64), Error);  // the head size
  shape.head_size = 64;
  EXPECT_THROW(call(1, 64), Error);
  EXPECT_THROW(call(0, 66), Error);
  shape.dropout.threshold = 1;
  EXPECT_THROW(call(0, 64), Error);  // no mask
}

}  // namespace
}  // namespace berth::train::cuda
