// Every device's kernels against the plain reference operations: dropout on, masks built by the scalar generator, gradients by
// autograd. The CPU's in every instruction set that this machine has, CUDA's on fibers.
#include "trainer/kernels/gpu/kernels.h"

#include <gtest/gtest.h>

#include "data/samples/id_order.h"
#include "tests/support/golden.h"
#include "trainer/kernels/cpu_kernels.h"
#include "trainer/kernels/reference.h"
#include "trainer/model/config.h"

namespace berth::train {
namespace {

using test::relative_error;

constexpr double kFp32 = 3e-6;
// bf16 keeps 8 bits: inputs are rounded before both sides see them, results and kept intermediates differ by rounding.
constexpr double kBf16 = 2e-2, kFp16 = kBf16 / 8;  // which keeps 11

struct Device {
  std::string name;
  std::shared_ptr<const Kernels> kernels;
};

std::vector<Device> cpu_devices() {
  std::vector<Device> result;
  for (const cpu::Table* table : cpu::supported_tables()) result.push_back({table->name, std::make_shared<CpuKernels>(*table)});
  return result;
}
std::vector<Device> cuda_devices() {
  return {{"cuda", std::make_shared<cuda::CudaKernels>([](at::Device) -> cuda::Stream { return nullptr; })}};
}

class KernelsTest : public ::testing::TestWithParam<std::tuple<Device, at::ScalarType>> {
 protected:
  void SetUp() override { at::manual_seed(3); }
  const Kernels& kernels = *std::get<0>(GetParam()).kernels;
  at::ScalarType type() const { return std::get<1>(GetParam()); }
  double tolerance() const { return type() == at::kFloat ? kFp32 : type() == at::kHalf ? kFp16 : kBf16; }
  at::Tensor random(at::IntArrayRef shape) const { return at::randn(shape).to(type()); }
  // An fp32 leaf with the values of x, for the reference.
  static at::Tensor leaf(const at::Tensor& x) { return x.detach().to(at::kFloat).clone().set_requires_grad(true); }
};

// What only the CPU's attention keeps, its weights; CUDA's masks: cuda_attention_test.
class CpuKernelsTest : public KernelsTest {};

Dropout some_dropout(float p) { return {p, philox_key(42, Purpose::kAttentionDropout, 17, 3)}; }

Segments segments_of(const std::vector<int>& lengths, int64_t heads, bool first_query_only, int64_t first_id = 5'000'000'000) {
  std::vector<int32_t> ends = {0};
  std::vector<int64_t> ids;
  for (const int length : lengths) {
    ends.push_back(ends.back() + length);
    ids.push_back(first_id + 7 * std::ssize(ids));
  }
  return {at::tensor(ends), at::tensor(ids), *std::max_element(lengths.begin(), lengths.end()), heads, first_query_only};
}

TableRows table_rows(const at::Tensor& ids) {
  return {ids, at::tensor(data::order_by_id({ids.const_data_ptr<int32_t>(), static_cast<size_t>(ids.numel())}))};
}

RowIds some_rows(int64_t n) {
  return {at::arange(n, at::kLong) * 1'000'000'007, (at::arange(n, at::kInt) * 37).remainder(512).to(at::kInt)};
}

struct AttentionCase {
  std::vector<int> lengths;
  int64_t heads, size;
  bool first_query_only;
  float p;
};

TEST_P(KernelsTest, AttentionEqualsItsReference) {
  const AttentionCase cases[] = {
      {{1, 2, 15, 16, 17, 33, 70}, 3, 32, false, 0.1f},
      {{1, 2, 15, 16, 17, 33, 70}, 3, 32, true, 0.1f},
      {{5, 40}, 2, 64, false, 0.f},
      {{5, 40}, 2, 64, true, 0.5f},
      {{9, 31, 32}, 4, 8, false, 0.3f},
      {{130}, 1, 20, false, 0.1f},
      {{3, 1}, 5, 1, false, 0.2f},
  };
  for (const AttentionCase& c : cases) {
    const Segments segments = segments_of(c.lengths, c.heads, c.first_query_only);
    const int64_t tokens = segments.cu_seqlens[-1].item<int64_t>(), hidden = c.heads * c.size;
    const at::Tensor all = random({tokens, 3 * hidden});  // strided rows
    const at::Tensor k = all.narrow(1, hidden, hidden), v = all.narrow(1, 2 * hidden, hidden);
    const at::Tensor q = c.first_query_only ? random({std::ssize(c.lengths), hidden}) * 2 : all.narrow(1, 0, hidden);
    const at::Tensor d_out = random(q.sizes());
    const Dropout dropout = some_dropout(c.p);

    at::Tensor weights;
    const at::Tensor out = kernels.attention_forward(q, k, v, segments, dropout, weights);
    const at::Tensor dq = at::empty_like(q), dk = at::empty_like(k), dv = at::empty_like(v);
    kernels.attention_backward(d_out, q, k, v, out, weights, segments, dropout, dq, dk, dv);

    const at::Tensor rq = leaf(q), rk = leaf(k), rv = leaf(v);
    const at::Tensor expected = attention_reference(rq, rk, rv, segments, dropout);
    expected.backward(d_out.to(at::kFloat));
    const std::string what = "heads " + std::to_string(c.heads) + " of " + std::to_string(c.size) + ", p " + std::to_string(c.p);
    EXPECT_LT(relative_error(out, expected), tolerance()) << what;
    EXPECT_LT(relative_error(dq, rq.grad(), 1e-2), tolerance()) << what;
    EXPECT_LT(relative_error(dk, rk.grad(), 1e-2), tolerance()) << what;
    EXPECT_LT(relative_error(dv, rv.grad()), tolerance()) << what;
  }
}

TEST_P(CpuKernelsTest, AttentionMasksAreThoseOfTheScalarGenerator) {
  const std::vector<int> lengths = {1, 13, 16, 65};
  const Segments segments = segments_of(lengths, 2, false);
  const at::Tensor x = random({1 + 13 + 16 + 65, 16});
  const Dropout dropout = some_dropout(0.4f);
  at::Tensor weights;
  kernels.attention_forward(x, x, x, segments, dropout, weights);
  const at::Tensor expected = attention_multiplier(dropout, segments.samples, at::tensor(lengths), 2, 65, 65);
  int64_t offset = 0;
  for (int64_t b = 0; b < std::ssize(lengths); ++b) {
    const int64_t n = lengths[b], pitch = attention_pitch(n);
    const at::Tensor kept = weights.narrow(0, offset, 2 * n * pitch).view({2, n, pitch}).slice(2, 0, n).to(at::kFloat);
    EXPECT_TRUE(kept.signbit().logical_not().equal(expected[b].slice(1, 0, n).slice(2, 0, n).gt(0))) << n;
    offset += 2 * n * pitch;
  }
}

TEST_P(KernelsTest, AttentionOfASampleDoesNotDependOnItsBatch) {
  const std::vector<int> lengths = {12, 30, 7};
  const Segments together = segments_of(lengths, 2, false),
                 alone = segments_of({30}, 2, false, together.samples[1].item<int64_t>());
  const at::Tensor q = random({49, 32}), d = random({49, 32});
  const Dropout dropout = some_dropout(0.1f);
  at::Tensor weights, weights_alone;
  const at::Tensor out = kernels.attention_forward(q, q, q, together, dropout, weights);
  const at::Tensor own = q.narrow(0, 12, 30);
  const at::Tensor out_alone = kernels.attention_forward(own, own, own, alone, dropout, weights_alone);
  EXPECT_TRUE(out_alone.equal(out.narrow(0, 12, 30)));
  // Gradients of q, k and v, slices of one tensor.
  const auto backward = [&](const at::Tensor& d_out, const at::Tensor& x, const at::Tensor& out, const at::Tensor& kept,
                            const Segments& segments) {
    const at::Tensor grads = at::empty({x.size(0), 96}, x.options());
    kernels.attention_backward(d_out, x, x, x, out, kept, segments, dropout, grads.narrow(1, 0, 32), grads.narrow(1, 32, 32),
                               grads.narrow(1, 64, 32));
    return grads;
  };
  EXPECT_TRUE(backward(d.narrow(0, 12, 30), own, out_alone, weights_alone, alone)
                  .equal(backward(d, q, out, weights, together).narrow(0, 12, 30)));
}

TEST_P(KernelsTest, AddNormEqualsItsReference) {
  for (const int64_t columns : {7, 16, 32, 100, 384})
    for (const float p : {0.f, 0.1f}) {
      const int64_t n = 70;
      const RowIds rows = some_rows(n);
      const Dropout dropout = some_dropout(p);
      const at::Tensor x = random({n, columns}) * 3 + 1, residual = random({n, columns}), d_out = random({n, columns});
      const at::Tensor gamma = at::randn({columns}) + 1, beta = at::randn({columns});
      NormState state;
      const at::Tensor out = kernels.add_norm_forward(x, residual, gamma, beta, 1e-5, dropout, rows, state);
      const at::Tensor gamma_grad = at::ones({columns}), beta_grad = at::ones({columns}), bias_grad = at::ones({columns});
      const auto [dx, d_residual] =
          kernels.add_norm_backward(d_out, state, gamma, dropout, rows, gamma_grad, beta_grad, bias_grad);

      const at::Tensor rx = leaf(x), rr = leaf(residual), rg = leaf(gamma), rb = leaf(beta);
      const at::Tensor expected = add_norm_reference(rx, rr, rg, rb, 1e-5, dropout, rows);
      expected.backward(d_out.to(at::kFloat));
      EXPECT_LT(relative_error(out, expected), tolerance()) << columns;
      EXPECT_LT(relative_error(dx, rx.grad(), 1e-1), 4 * tolerance()) << columns;
      EXPECT_LT(relative_error(d_residual, rr.grad(), 1e-1), 4 * tolerance()) << columns;
      EXPECT_LT(relative_error(gamma_grad - 1, rg.grad(), 1), 4 * tolerance()) << columns;
      EXPECT_LT(relative_error(beta_grad - 1, rb.grad()), 4 * tolerance()) << columns;
      EXPECT_LT(relative_error(bias_grad - 1, dx.to(at::kDouble).sum(0), 1), tolerance()) << columns;
    }
}

TEST_P(KernelsTest, EmbeddingsEqualTheirReference) {
  for (const auto& [columns, segments] : {std::pair<int64_t, bool>{5, true}, {32, true}, {384, true}, {5, false}, {384, false}})
    for (const float p : {0.f, 0.1f}) {
      const int64_t n = 50, skipped = 3;
      const RowIds rows = some_rows(n);
      const Dropout dropout = some_dropout(p);
      const at::Tensor words = at::randn({20, columns}), positions = at::randn({9, columns}),
                       types = segments ? at::randn({2, columns}) : at::zeros({2, columns});
      const at::Tensor gamma = at::randn({columns}) + 1, beta = at::randn({columns}), d_out = random({n, columns});
      const at::Tensor word_ids = at::randint(20, {n}, at::kInt), position_ids = at::randint(9, {n}, at::kInt),
                       type_ids = at::randint(2, {n}, at::kInt);
      NormState state;
      const at::Tensor out = kernels.embed_forward({words, positions, segments ? types : at::Tensor(), table_rows(word_ids),
                                                    table_rows(position_ids), table_rows(type_ids)},
                                                   gamma, beta, 1e-12, dropout, rows, type(), state);
      const at::Tensor gamma_grad = at::zeros({columns}), beta_grad = at::zeros({columns}), word_grad = at::zeros({20, columns});
      const at::Tensor d = kernels.embed_backward(d_out, state, gamma, dropout, rows, gamma_grad, beta_grad);
      kernels.add_rows(d, table_rows(word_ids), skipped, word_grad);

      const at::Tensor sum =
          leaf(words.index_select(0, word_ids) + positions.index_select(0, position_ids) + types.index_select(0, type_ids));
      const at::Tensor rg = leaf(gamma), rb = leaf(beta);
      const at::Tensor expected = norm_reference(sum, rg, rb, 1e-12, dropout, rows);
      expected.backward(d_out.to(at::kFloat));
      EXPECT_LT(relative_error(out, expected), tolerance());
      EXPECT_LT(relative_error(d, sum.grad()), 4 * tolerance());
      EXPECT_LT(relative_error(gamma_grad, rg.grad()), 4 * tolerance());
      EXPECT_LT(relative_error(beta_grad, rb.grad()), 4 * tolerance());
      const at::Tensor expected_words = at::zeros({20, columns}).index_add(0, word_ids, d);
      expected_words[skipped].zero_();
      EXPECT_LT(relative_error(word_grad, expected_words), kFp32);
    }
}

// The reference is torch's own.
TEST_P(KernelsTest, CrossEntropyEqualsItsReference) {
  for (const int64_t classes : {2, 3, 17, 700})
    for (const double smoothing : {0.0, 0.1})
      for (const bool weighted : {false, true}) {
        const at::Tensor logits = (random({23, classes}) * 3).set_requires_grad(true), reference = leaf(logits);
        const at::Tensor weights = weighted ? at::rand({classes}) * 9 : at::Tensor();
        at::Tensor labels = at::randint(classes, {23}, at::kLong);
        labels[4] = labels[22] = -100;
        if (weighted) weights[labels[7].item<int64_t>()] = 0;
        const at::Tensor sum = kernels.cross_entropy_sum(logits, labels, weights, -100, smoothing);
        const at::Tensor expected = cross_entropy_sum_reference(reference, labels, weights, -100, smoothing);
        EXPECT_LT(relative_error(sum, expected), 1e-5) << classes;
        (sum * 0.3).backward();
        (expected * 0.3).backward();
        EXPECT_LT(relative_error(logits.grad(), reference.grad()), tolerance() * 10) << classes;
      }
}

// Question answering fills up the tokens that shorter texts lack with minus infinity.
TEST_P(KernelsTest, CrossEntropyOfAbsentClassesAndOfNoNumbers) {
  at::Tensor values = random({5, 40});
  values.slice(1, 33).fill_(-std::numeric_limits<float>::infinity());
  const at::Tensor logits = values.set_requires_grad(true), reference = leaf(logits);
  const at::Tensor labels = at::tensor({0, 32, 7, 1, 30}, at::kLong);
  const at::Tensor sum = kernels.cross_entropy_sum(logits, labels, {}, -100, 0);
  const at::Tensor expected = cross_entropy_sum_reference(reference, labels, {}, -100, 0);
  EXPECT_LT(relative_error(sum, expected), 1e-5);
  sum.backward();
  expected.backward();
  EXPECT_LT(relative_error(logits.grad(), reference.grad()), tolerance() * 10);
  EXPECT_EQ(logits.grad().slice(1, 33).abs().max().item<float>(), 0);
  const at::Tensor broken = values.detach().clone();
  broken[3][20] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(kernels.cross_entropy_sum(broken, labels, {}, -100, 0).item<float>()));
}

TEST_P(KernelsTest, PooledTokensEqualTheirReference) {
  for (const Pooling pooling : {Pooling::kMean, Pooling::kMax})
    for (const int64_t columns : {1, 7, 32, 384, 776}) {
      const at::Tensor ends = segments_of({1, 2, 7, 8, 9, 40, 300}, 1, false).cu_seqlens;
      const at::Tensor x = random({367, columns}).set_requires_grad(true), reference = leaf(x);
      x.data().slice(0, 20, 40).fill_(3);  // equals, of which the first has the gradient
      reference.data().copy_(x.data());
      const at::Tensor d = random({7, columns}), pooled = kernels.pool_tokens(x, ends, pooling),
                       expected = pool_tokens_reference(reference, ends, pooling);
      EXPECT_LT(relative_error(pooled, expected), tolerance()) << columns;
      pooled.backward(d);
      expected.backward(d.to(at::kFloat));
      EXPECT_LT(relative_error(x.grad(), reference.grad()), tolerance()) << columns;
      EXPECT_TRUE(x.grad().ne(0).equal(reference.grad().ne(0))) << columns;
      const at::Tensor alone = kernels.pool_tokens(x.narrow(0, 27, 40), at::tensor({0, 40}, at::kInt), pooling);
      EXPECT_TRUE(alone.equal(pooled.narrow(0, 5, 1))) << "not as in a batch";
      x.data()[30][0] = NAN;
      EXPECT_TRUE(kernels.pool_tokens(x, ends, pooling)[5][0].isnan().item<bool>());
    }
}

TEST_P(KernelsTest, ProductsAreAddedToOrStored) {
  const at::Tensor dy = random({37, 70}), x = random({37, 30}), grad = at::ones({70, 30});
  const at::Tensor product = at::mm(dy.to(at::kDouble).t(), x.to(at::kDouble));
  const double limit = type() == at::kFloat ? 1e-5 : 1e-2;
  kernels.linear_backward_weight(dy, x, grad, /*accumulate=*/true);
  EXPECT_LT(relative_error(grad - 1, product), limit);
  grad.fill_(NAN);
  kernels.linear_backward_weight(dy, x, grad, /*accumulate=*/false);
  EXPECT_LT(relative_error(grad, product), limit);
  kernels.linear_backward_weight(dy.narrow(0, 0, 0), x.narrow(0, 0, 0), grad, /*accumulate=*/false);
  EXPECT_TRUE(grad.eq(0).all().item<bool>()) << "of no rows";
}

TEST_P(KernelsTest, DropoutMasksAreThoseOfTheScalarGenerator) {
  for (const int64_t columns : {1, 16, 63, 64, 65, 384}) {
    const RowIds rows = some_rows(33);
    const Dropout dropout = some_dropout(0.25f);
    const at::Tensor kept = kernels.dropout_rows(at::ones({33, columns}, type()), dropout, rows);
    EXPECT_TRUE(kept.equal(hidden_multiplier(dropout, rows, columns).to(type()))) << columns;
  }
}

TEST_P(KernelsTest, ActivationsAndTheirDerivatives) {
  for (const Activation activation : {Activation::kGelu, Activation::kGeluNew, Activation::kRelu, Activation::kTanh}) {
    const at::Tensor x =
        at::cat({at::linspace(-12, 12, 4001), at::linspace(-0.2, 0.2, 1001), at::tensor({-100.f, 100.f, 0.f})}).to(type());
    const at::Tensor d_out = random(x.sizes());
    const at::Tensor rx = leaf(x).to(at::kDouble).detach().set_requires_grad(true);
    const at::Tensor expected = activation_reference(rx, activation);
    expected.backward(d_out.to(at::kDouble));
    const at::Tensor derivative = x.clone();
    const at::Tensor out = kernels.activation_forward(derivative, activation);
    const at::Tensor dx = kernels.activation_backward(d_out, derivative, activation, {});
    const auto error = [](const at::Tensor& a, const at::Tensor& e) {
      return ((a.to(at::kDouble) - e).abs() / (e.abs() + 1)).max().item<double>();
    };
    const double limit = type() == at::kFloat ? 1e-6 : 1e-2;
    EXPECT_LT(error(out, expected.detach()), limit) << activation_name(activation);
    EXPECT_LT(error(dx, rx.grad()), limit) << activation_name(activation);
  }
}

TEST_P(KernelsTest, NotANumberIsNeverLost) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const RowIds rows = some_rows(2);
  for (const Activation activation : {Activation::kGelu, Activation::kGeluNew, Activation::kRelu, Activation::kTanh}) {
    const at::Tensor x = at::full({20}, nan).to(type());
    EXPECT_TRUE(kernels.activation_forward(x, activation).isnan().all().item<bool>()) << activation_name(activation);
  }
  at::Tensor x = random({2, 32});
  x[0][5] = nan;
  NormState state;
  const at::Tensor out = kernels.add_norm_forward(x, x, at::ones({32}), at::zeros({32}), 1e-5, {}, rows, state);
  EXPECT_TRUE(out[0].isnan().all().item<bool>());
  EXPECT_FALSE(out[1].isnan().any().item<bool>());
  at::Tensor weights;
  EXPECT_TRUE(kernels.attention_forward(x, x, x, segments_of({2}, 1, false), {}, weights).isnan().all().item<bool>());
}

TEST_P(KernelsTest, ColumnSumsAreAddedTo) {
  for (const int64_t columns : {1, 31, 64, 130, 1536}) {
    const at::Tensor x = random({37, columns}), sums = at::full({columns}, 2.f);
    kernels.add_column_sums(x, sums);
    EXPECT_LT(relative_error(sums, x.to(at::kDouble).sum(0) + 2), kFp32);
  }
}

TEST(Masks, KeepTheRightShareAndDifferBetweenStreams) {
  const CpuKernels kernels(cpu::best_table());
  const RowIds rows = some_rows(500);
  const Dropout one = {0.1f, philox_key(1, Purpose::kFfnOutputDropout, 5, 0)},
                next_step = {0.1f, philox_key(1, Purpose::kFfnOutputDropout, 6, 0)},
                other_layer = {0.1f, philox_key(1, Purpose::kFfnOutputDropout, 5, 1)};
  const at::Tensor mask = kernels.dropout_rows(at::ones({500, 384}), one, rows);
  // 192,000 draws: the standard deviation of the share is 0.0007.
  EXPECT_NEAR(mask.gt(0).to(at::kDouble).mean().item<double>(), 0.9, 0.003);
  for (const Dropout& other : {next_step, other_layer}) {
    const at::Tensor agree = mask.eq(kernels.dropout_rows(at::ones({500, 384}), other, rows));
    EXPECT_NEAR(agree.to(at::kDouble).mean().item<double>(), 0.82, 0.004);  // 0.9^2 + 0.1^2
  }
}

std::string parameter_name(const ::testing::TestParamInfo<KernelsTest::ParamType>& info) {
  const at::ScalarType type = std::get<1>(info.param);
  return std::get<0>(info.param).name + (type == at::kFloat ? "_fp32" : type == at::kHalf ? "_fp16" : "_bf16");
}
const auto cpu_cases = ::testing::Combine(::testing::ValuesIn(cpu_devices()), ::testing::Values(at::kFloat, at::kBFloat16));
INSTANTIATE_TEST_SUITE_P(Cpu, KernelsTest, cpu_cases, parameter_name);
INSTANTIATE_TEST_SUITE_P(Cpu, CpuKernelsTest, cpu_cases, parameter_name);
INSTANTIATE_TEST_SUITE_P(Cuda, KernelsTest,
                         ::testing::Combine(::testing::ValuesIn(cuda_devices()),
                                            ::testing::Values(at::kFloat, at::kBFloat16, at::kHalf)),
                         parameter_name);

}  // namespace
}  // namespace berth::train
