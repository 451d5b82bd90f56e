// berth's CUDA kernels for rows, on fibers or on a GPU (tests/support/device_array.h), against the CPU's kernels in fp32, dropout on, and
// against plain loops in double. Numbers that the kernels keep in 16 bits are given to both sides as they are after rounding.
#include <functional>
#include <numeric>

#include "tests/trainer/cuda_rows.h"

namespace berth::train::cuda {
namespace {

using kernels::NormArgs;
using test::DeviceArray;
using test::shuffle_threads;

template <class T>
class CudaKernels : public RowsOf<T> {};
TYPED_TEST_SUITE(CudaKernels, RowTypes);

TYPED_TEST(CudaKernels, NoRowsAndTooLongRows) {
  using T = TypeParam;
  const DeviceArray<T> some(8);
  const DeviceArray<float> sums(std::vector<float>(8, 1.f));
  NormArgs<T> args{};
  args.rows.columns = 8;
  add_norm_forward<T>(args, some.data(), some.data(), some.data(), 0, nullptr);
  add_norm_backward<T>(args, some.data(), some.data(), some.data(), sums.data(), sums.data(), sums.data(), 0, sums.data(),
                       nullptr);
  embed_forward<T>(args, {}, some.data(), 0, nullptr);
  embed_backward<T>(args, some.data(), sums.data(), sums.data(), sums.data(), 0, sums.data(), nullptr);
  dropout_rows<T>(args.rows, args.dropout, some.data(), some.data(), 0, nullptr);
  add_column_sums<T>(some.data(), 0, 8, 8, sums.data(), sums.data(), nullptr);
  activation_forward<T>(Activation::kGelu, some.data(), some.data(), 0, nullptr);
  activation_backward<T>(Activation::kGelu, some.data(), some.data(), some.data(), sums.data(), 0, 8, sums.data(), nullptr);
  scatter_rows(sums.data(), nullptr, nullptr, 0, 8, -1, sums.data(), sums.data(), nullptr);
  EXPECT_EQ(sums.read(), std::vector<float>(8, 1.f));
  const DeviceArray<float> loss(1);
  cross_entropy_forward<T>({some.data(), 8, nullptr, 0, 8, 0, sums.data()}, loss.data(), sums.data(), nullptr);
  EXPECT_EQ(loss.read()[0], 0);
  args.rows.columns = kMaxNormColumns + 1;
  EXPECT_THROW(add_norm_forward<T>(args, some.data(), some.data(), some.data(), 1, nullptr), std::exception);
}

TYPED_TEST(CudaKernels, ActivationsAreTheCpus) {
  using T = TypeParam;
  const std::pair<int64_t, int64_t> shapes[] = {{1, 1}, {3, 5}, {70, 264}, {200, 24}, {9, 3072}};
  for (const Activation activation : {Activation::kGelu, Activation::kGeluNew, Activation::kRelu, Activation::kTanh})
    for (const auto& [rows, columns] : shapes) {
      SCOPED_TRACE(std::to_string(static_cast<int>(activation)) + ": " + std::to_string(rows) + " x " + std::to_string(columns));
      const int64_t n = rows * columns;
      auto x = this->rows(n, 2);
      if (n > 100) {
        const float far[] = {0, -0.f, 1e-3f, -1e-3f, 12, -12, 100, -100, 3e4f, -3e4f};
        for (size_t i = 0; i < std::size(far); ++i) x[i] = nearest<T>(far[i]);
      }
      const auto d_out = this->rows(n);
      const auto before = this->normal(columns);
      const DeviceArray<T> in(x), out(n), d_in(d_out), dx(n);
      const DeviceArray<float> bias_grad(before), workspace(activation_backward_workspace(rows, columns));
      activation_forward(activation, in.data(), out.data(), n, nullptr);
      activation_backward(activation, d_in.data(), in.data(), dx.data(), bias_grad.data(), rows, columns, workspace.data(),
                          nullptr);
      workspace.read();

      auto derivative = values_of(x);
      const auto d32 = values_of(d_out);
      std::vector<float> expected(n), expected_dx(n), expected_bias = before;
      reference().activation_forward(static_cast<int>(activation), derivative.data(), expected.data(), 0, n);
      reference().activation_backward(d32.data(), derivative.data(), expected_dx.data(), 0, n);
      for (int64_t i = 0; i < n; ++i) expected_bias[i % columns] += expected_dx[i];
      EXPECT_LT(error(out.read(), expected), this->kTolerance);
      EXPECT_LT(error(dx.read(), expected_dx), this->kTolerance);
      EXPECT_LT(error(bias_grad.read(), expected_bias), 3e-6);

      // In place of the gradient, and without a bias: the same.
      activation_backward<T>(activation, d_in.data(), in.data(), d_in.data(), nullptr, rows, columns, nullptr, nullptr);
      EXPECT_EQ(bits_of(d_in.read()), bits_of(dx.read()));
    }
}

TYPED_TEST(CudaKernels, NaNGoesThroughActivations) {
  using T = TypeParam;
  const DeviceArray<T> in(16), out(16);  // fresh memory is NaN
  for (const Activation activation : {Activation::kGelu, Activation::kGeluNew, Activation::kRelu, Activation::kTanh}) {
    activation_forward(activation, in.data(), out.data(), 16, nullptr);
    for (const float x : values_of(out.read())) EXPECT_TRUE(std::isnan(x));
  }
}

TYPED_TEST(CudaKernels, ColumnSumsAreThoseOfDoubles) {
  using T = TypeParam;
  const std::array<int64_t, 3> cases[] = {{1, 1, 1}, {5, 7, 9}, {64, 256, 256}, {65, 264, 272}, {1000, 40, 48}, {9000, 16, 16}};
  for (const auto& [rows, columns, stride] : cases) {
    SCOPED_TRACE(std::to_string(rows) + " x " + std::to_string(columns));
    const auto x = this->rows(rows * stride);
    const auto before = this->normal(columns);
    const DeviceArray<T> in(x);
    const DeviceArray<float> sums(before), workspace(add_column_sums_workspace(rows, columns));
    add_column_sums(in.data(), rows, columns, stride, sums.data(), workspace.data(), nullptr);
    workspace.read();
    std::vector<double> expected(before.begin(), before.end());
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < columns; ++c) expected[c] += value_of(x[r * stride + c]);
    EXPECT_LT(error(sums.read(), expected), 1e-6);
  }
}

// Row numbers by id, those of one id ascending, as the host brings them.
std::vector<int32_t> order_of(const std::vector<int32_t>& ids) {
  std::vector<int32_t> order(ids.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return ids[a] < ids[b]; });
  return order;
}

TEST(CudaScatter, RowsAreAddedToTheirIds) {
  std::mt19937 random(11);
  std::normal_distribution<float> draw;
  constexpr int32_t kIds = 60;
  // How ids fall: all one, each its own, or a few that have most rows.
  const std::function<int32_t(int64_t)> falls[] = {
      [](int64_t) { return 7; }, [](int64_t r) { return static_cast<int32_t>(r % kIds); },
      [&](int64_t) { return static_cast<int32_t>(random() % 3 == 0 ? random() % kIds : random() % 2 * 59); },
      [](int64_t r) { return static_cast<int32_t>(r / 32); }, [](int64_t r) { return static_cast<int32_t>(r / 33); }};
  for (const int64_t rows : {1, 31, 32, 33, 64, 97, 700})
    for (const int64_t columns : {8, 10, 520})
      for (size_t f = 0; f < std::size(falls); ++f)
        for (const int32_t skipped : {-1, 59}) {
          SCOPED_TRACE(std::to_string(rows) + " x " + std::to_string(columns) + ", fall " + std::to_string(f));
          std::vector<int32_t> ids(rows);
          for (int64_t r = 0; r < rows; ++r) ids[r] = falls[f](r);
          std::vector<float> x(rows * columns), before(kIds * columns);
          for (float& v : x) v = draw(random);
          for (float& v : before) v = draw(random);
          const DeviceArray<float> x_in(x), grad(before), workspace(scatter_rows_workspace(rows, columns));
          const DeviceArray<int32_t> ids_in(ids), order(order_of(ids));
          scatter_rows(x_in.data(), ids_in.data(), order.data(), rows, columns, skipped, grad.data(), workspace.data(), nullptr);
          workspace.read();
          std::vector<double> expected(before.begin(), before.end());
          std::vector<bool> touched(kIds, false);
          for (int64_t r = 0; r < rows; ++r) {
            if (ids[r] == skipped) continue;
            touched[ids[r]] = true;
            for (int64_t c = 0; c < columns; ++c) expected[ids[r] * columns + c] += x[r * columns + c];
          }
          const auto got = grad.read();
          for (int64_t i = 0; i < kIds * columns; ++i) {
            if (touched[i / columns]) {
              ASSERT_NEAR(got[i], expected[i], 2e-6 * std::sqrt(static_cast<double>(rows)) * 4) << i;
            } else {
              ASSERT_EQ(got[i], before[i]) << i;
            }
          }
        }
}

TYPED_TEST(CudaKernels, PooledRowsAreThoseOfDoubles) {
  using T = TypeParam;
  const std::vector<int32_t> ends{0, 1, 3, 12, 20, 276};
  const int64_t samples = std::ssize(ends) - 1, rows = ends.back();
  for (const int64_t columns : {1, 9, 72, 384, 1000})
    for (const Pooling pooling : {Pooling::kMean, Pooling::kMax}) {
      SCOPED_TRACE(std::to_string(columns) + (pooling == Pooling::kMean ? " mean" : " max"));
      const auto x = this->rows(rows * columns), d_out = this->rows(samples * columns);
      const DeviceArray<T> in(x), d_in(d_out), out(samples * columns), dx(rows * columns);
      const DeviceArray<int32_t> ends_in(ends), chosen(samples * columns);
      const PoolArgs args{pooling, ends_in.data(), samples, columns, pooling == Pooling::kMax ? chosen.data() : nullptr};
      pool_forward(args, in.data(), out.data(), nullptr);
      pool_backward(args, d_in.data(), dx.data(), nullptr);
      std::vector<double> expected(samples * columns), d_expected(rows * columns, 0.0);
      for (int64_t b = 0; b < samples; ++b)
        for (int64_t c = 0; c < columns; ++c) {
          const double d = value_of(d_out[b * columns + c]), count = ends[b + 1] - ends[b];
          double sum = 0;
          int64_t best = ends[b];
          for (int64_t r = ends[b]; r < ends[b + 1]; ++r) {
            sum += value_of(x[r * columns + c]);
            if (value_of(x[r * columns + c]) > value_of(x[best * columns + c])) best = r;
            if (pooling == Pooling::kMean) d_expected[r * columns + c] = d / count;
          }
          if (pooling == Pooling::kMax) d_expected[best * columns + c] = d;
          expected[b * columns + c] = pooling == Pooling::kMean ? sum / count : value_of(x[best * columns + c]);
        }
      EXPECT_LT(error(out.read(), expected), this->kTolerance);
      EXPECT_LT(error(dx.read(), d_expected), this->kTolerance);
    }
}

TYPED_TEST(CudaKernels, CrossEntropyIsThatOfDoubles) {
  using T = TypeParam;
  struct Case {
    int64_t rows, classes, stride;
    float smoothing;
    bool weighted = false;
  };
  const Case cases[] = {{1, 2, 2, 0},          {300, 2, 2, 0.1f},    {37, 9, 9, 0},           {37, 9, 9, 0, true},
                        {5, 33, 40, 0.1f},     {4, 1024, 1024, 0},   {3, 1025, 1025, 0},      {300, 2, 2, 0.1f, true},
                        {3, 5003, 5008, 0.2f}, {3, 30522, 30522, 0}, {2, 30522, 30528, 0.1f}, {3, 5003, 5008, 0.2f, true}};
  for (const Case& c : cases) {
    SCOPED_TRACE(std::to_string(c.rows) + " x " + std::to_string(c.classes));
    const auto logits = this->rows(c.rows * c.stride, 3);
    std::vector<int64_t> labels(c.rows);
    for (int64_t r = 0; r < c.rows; ++r)
      labels[r] = r % 5 == 1 ? kIgnoreLabel : static_cast<int64_t>(this->random()() % c.classes);
    const float d_loss = 0.37f;
    const DeviceArray<T> in(logits), d_logits(c.rows * c.stride);
    const DeviceArray<int64_t> labels_in(labels);
    const DeviceArray<float> lse(c.rows), workspace(c.rows), loss(1), d_loss_in(std::vector<float>{d_loss});
    std::vector<float> weights(c.classes, 1);
    if (c.weighted)
      for (float& weight : weights) weight = static_cast<float>(this->random()() % 100) / 10;
    const DeviceArray<float> weights_in(weights);
    const CrossEntropyArgs<T> args{in.data(), c.stride,    labels_in.data(), c.rows,
                                   c.classes, c.smoothing, lse.data(),       c.weighted ? weights_in.data() : nullptr};
    cross_entropy_forward(args, loss.data(), workspace.data(), nullptr);
    cross_entropy_backward(args, d_loss_in.data(), d_logits.data(), nullptr);

    double expected_loss = 0;
    std::vector<double> expected(c.rows * c.stride, 0.0);
    for (int64_t r = 0; r < c.rows; ++r) {
      if (labels[r] == kIgnoreLabel) continue;
      double sum = 0, of_all = 0;  // the weights of all terms in -log p
      for (int64_t k = 0; k < c.classes; ++k) sum += std::exp(value_of(logits[r * c.stride + k]));
      const auto weight = [&](int64_t k) {
        return c.smoothing / c.classes * weights[k] + (k == labels[r] ? (1 - c.smoothing) * weights[k] : 0);
      };
      for (int64_t k = 0; k < c.classes; ++k) {
        expected_loss += weight(k) * (std::log(sum) - value_of(logits[r * c.stride + k]));
        of_all += weight(k);
      }
      for (int64_t k = 0; k < c.classes; ++k)
        expected[r * c.stride + k] = d_loss * (of_all * std::exp(value_of(logits[r * c.stride + k])) / sum - weight(k));
    }
    EXPECT_NEAR(loss.read()[0], expected_loss, 1e-6 * (std::abs(expected_loss) + static_cast<double>(c.rows)));
    const auto got = d_logits.read();
    EXPECT_LT(error(got, expected), std::max(this->kTolerance, 2e-5));  // p - 1 loses digits where p is nearly 1
    for (int64_t r = 0; r < c.rows; ++r)
      for (int64_t k = labels[r] == kIgnoreLabel ? 0 : c.classes; k < c.stride; ++k)
        ASSERT_EQ(value_of(got[r * c.stride + k]), 0);

    cross_entropy_backward(args, d_loss_in.data(), in.data(), nullptr);  // in place of the logits
    EXPECT_EQ(bits_of(in.read()), bits_of(got));
  }
}

TYPED_TEST(CudaKernels, CrossEntropyOfFarLogits) {
  using T = TypeParam;
  const auto logits = nearest<T>({1000, -1000, 0, -1000, -1000, -1000});
  const DeviceArray<T> in(logits), infinite(6);
  const DeviceArray<int64_t> labels(std::vector<int64_t>{1, 2});
  const DeviceArray<float> lse(2), workspace(2), loss(1);
  cross_entropy_forward<T>({in.data(), 3, labels.data(), 2, 3, 0, lse.data()}, loss.data(), workspace.data(), nullptr);
  EXPECT_NEAR(loss.read()[0], (value_of(logits[0]) - value_of(logits[1])) + std::log(3.0), 2e-3);
  cross_entropy_forward<T>({infinite.data(), 3, labels.data(), 2, 3, 0, lse.data()}, loss.data(), workspace.data(), nullptr);
  EXPECT_TRUE(std::isnan(loss.read()[0]));
}

// All that has sums, once more, the threads in another order.
TYPED_TEST(CudaKernels, TheSameBitsInEveryRun) {
  using T = TypeParam;
  const int64_t rows = 400, columns = 72, classes = 1100, n = rows * columns;
  const Places places(rows);
  std::vector<int32_t> ids(rows);
  std::vector<int64_t> labels(10);
  for (int32_t& id : ids) id = static_cast<int32_t>(this->random()() % 5);
  for (int64_t& label : labels) label = static_cast<int64_t>(this->random()() % classes);
  const DeviceArray<T> x(this->rows(n)), residual(this->rows(n)), d_out(this->rows(n)), logits(this->rows(10 * classes));
  const DeviceArray<float> parameters(this->normal(2 * columns));
  const DeviceArray<int32_t> ids_in(ids), order(order_of(ids)), ends(std::vector<int32_t>{0, rows});
  const DeviceArray<int64_t> labels_in(labels);

  std::string first;
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    shuffle_threads(seed);
    const DeviceArray<T> normalized(n), out(n), dx(n), d_residual(n), pooled(columns);
    const DeviceArray<float> rstd(rows), d_sum(n), sums(std::vector<float>(6 * columns)), table(std::vector<float>(5 * columns)),
        lse(10), losses(10), loss(1), workspace(1 << 20);
    const NormArgs<T> args{places.device(columns), dropout_of(0.1), parameters.data(), parameters.data() + columns, 1e-5f,
                           normalized.data(),      rstd.data()};
    float* to = sums.data();
    add_norm_forward(args, x.data(), residual.data(), out.data(), rows, nullptr);
    add_norm_backward(args, d_out.data(), dx.data(), d_residual.data(), to, to + columns, to + 2 * columns, rows,
                      workspace.data(), nullptr);
    embed_backward(args, d_out.data(), d_sum.data(), to + 3 * columns, to + 4 * columns, rows, workspace.data(), nullptr);
    scatter_rows(d_sum.data(), ids_in.data(), order.data(), rows, columns, -1, table.data(), workspace.data(), nullptr);
    activation_backward<T>(Activation::kGelu, d_out.data(), x.data(), dx.data(), to + 5 * columns, rows, columns,
                           workspace.data(), nullptr);
    add_column_sums(d_out.data(), rows, columns, columns, to, workspace.data(), nullptr);
    pool_forward({Pooling::kMean, ends.data(), 1, columns, nullptr}, x.data(), pooled.data(), nullptr);
    cross_entropy_forward<T>({logits.data(), classes, labels_in.data(), 10, classes, 0.1f, lse.data()}, loss.data(),
                             losses.data(), nullptr);
    const std::string all = bits_of(out.read()) + bits_of(d_residual.read()) + bits_of(d_sum.read()) + bits_of(sums.read()) +
                            bits_of(table.read()) + bits_of(loss.read()) + bits_of(lse.read()) + bits_of(pooled.read());
    if (seed == 1) first = all;
    EXPECT_TRUE(all == first) << "run " << seed;
  }
}

}  // namespace
}  // namespace berth::train::cuda
