// Every CPU kernel, in every instruction set that this machine has, against the plain reference operations: dropout on, masks
// built by the scalar generator, gradients by autograd.
#include <gtest/gtest.h>

#include "tests/support/golden.h"
#include "trainer/kernels/attention.h"
#include "trainer/kernels/gemm.h"
#include "trainer/kernels/norm.h"
#include "trainer/kernels/pointwise.h"
#include "trainer/model/config.h"

namespace berth::train {
namespace {

using test::relative_error;

constexpr double kFp32 = 3e-6;
// bf16 keeps 8 bits: inputs are rounded before both sides see them, results and kept intermediates differ by rounding.
constexpr double kBf16 = 2e-2;

class Kernels : public ::testing::TestWithParam<std::tuple<const cpu::Table*, at::ScalarType>> {
 protected:
  void SetUp() override { at::manual_seed(3); }
  const cpu::Table& table() const { return *std::get<0>(GetParam()); }
  at::ScalarType type() const { return std::get<1>(GetParam()); }
  double tolerance() const { return type() == at::kFloat ? kFp32 : kBf16; }
  at::Tensor random(at::IntArrayRef shape) const { return at::randn(shape).to(type()); }
  // An fp32 leaf with the values of x, for the reference.
  static at::Tensor leaf(const at::Tensor& x) { return x.detach().to(at::kFloat).clone().set_requires_grad(true); }
};

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

RowIds some_rows(int64_t n) {
  return {at::arange(n, at::kLong) * 1'000'000'007, (at::arange(n, at::kInt) * 37).remainder(512).to(at::kInt)};
}

struct AttentionCase {
  std::vector<int> lengths;
  int64_t heads, size;
  bool first_query_only;
  float p;
};

TEST_P(Kernels, AttentionEqualsItsReference) {
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
    const at::Tensor out = attention_forward(q, k, v, segments, dropout, weights, table());
    const AttentionGradients grads = attention_backward(d_out, q, k, v, weights, segments, dropout, table());

    const at::Tensor rq = leaf(q), rk = leaf(k), rv = leaf(v);
    const at::Tensor expected = attention_reference(rq, rk, rv, segments, dropout);
    expected.backward(d_out.to(at::kFloat));
    const std::string what = "heads " + std::to_string(c.heads) + " of " + std::to_string(c.size) + ", p " + std::to_string(c.p);
    EXPECT_LT(relative_error(out, expected), tolerance()) << what;
    EXPECT_LT(relative_error(grads.q, rq.grad(), 1e-2), tolerance()) << what;
    EXPECT_LT(relative_error(grads.k, rk.grad(), 1e-2), tolerance()) << what;
    EXPECT_LT(relative_error(grads.v, rv.grad()), tolerance()) << what;
  }
}

TEST_P(Kernels, AttentionMasksAreThoseOfTheScalarGenerator) {
  const std::vector<int> lengths = {1, 13, 16, 65};
  const Segments segments = segments_of(lengths, 2, false);
  const at::Tensor x = random({1 + 13 + 16 + 65, 16});
  const Dropout dropout = some_dropout(0.4f);
  at::Tensor weights;
  attention_forward(x, x, x, segments, dropout, weights, table());
  const at::Tensor expected = attention_multiplier(dropout, segments.samples, at::tensor(lengths), 2, 65, 65);
  int64_t offset = 0;
  for (int64_t b = 0; b < std::ssize(lengths); ++b) {
    const int64_t n = lengths[b], pitch = attention_pitch(n);
    const at::Tensor kept = weights.narrow(0, offset, 2 * n * pitch).view({2, n, pitch}).slice(2, 0, n).to(at::kFloat);
    EXPECT_TRUE(kept.signbit().logical_not().equal(expected[b].slice(1, 0, n).slice(2, 0, n).gt(0))) << n;
    offset += 2 * n * pitch;
  }
}

TEST_P(Kernels, AttentionOfASampleDoesNotDependOnItsBatch) {
  const std::vector<int> lengths = {12, 30, 7};
  const Segments together = segments_of(lengths, 2, false),
                 alone = segments_of({30}, 2, false, together.samples[1].item<int64_t>());
  const at::Tensor q = random({49, 32}), d = random({49, 32});
  const Dropout dropout = some_dropout(0.1f);
  at::Tensor weights, weights_alone;
  const at::Tensor out = attention_forward(q, q, q, together, dropout, weights, table());
  const at::Tensor own = q.narrow(0, 12, 30);
  EXPECT_TRUE(attention_forward(own, own, own, alone, dropout, weights_alone, table()).equal(out.narrow(0, 12, 30)));
  const auto grads = attention_backward(d, q, q, q, weights, together, dropout, table());
  const auto grads_alone = attention_backward(d.narrow(0, 12, 30), own, own, own, weights_alone, alone, dropout, table());
  EXPECT_TRUE(grads_alone.q.equal(grads.q.narrow(0, 12, 30)));
  EXPECT_TRUE(grads_alone.k.equal(grads.k.narrow(0, 12, 30)));
  EXPECT_TRUE(grads_alone.v.equal(grads.v.narrow(0, 12, 30)));
}

TEST_P(Kernels, AddNormEqualsItsReference) {
  for (const int64_t columns : {7, 16, 32, 100, 384})
    for (const float p : {0.f, 0.1f}) {
      const int64_t n = 70;
      const RowIds rows = some_rows(n);
      const Dropout dropout = some_dropout(p);
      const at::Tensor x = random({n, columns}) * 3 + 1, residual = random({n, columns}), d_out = random({n, columns});
      const at::Tensor gamma = at::randn({columns}) + 1, beta = at::randn({columns});
      NormState state;
      const at::Tensor out = add_norm_forward(x, residual, gamma, beta, 1e-5, dropout, rows, state, table());
      const at::Tensor gamma_grad = at::ones({columns}), beta_grad = at::ones({columns});
      const auto [dx, d_residual] = add_norm_backward(d_out, state, gamma, dropout, rows, gamma_grad, beta_grad, table());

      const at::Tensor rx = leaf(x), rr = leaf(residual), rg = leaf(gamma), rb = leaf(beta);
      const at::Tensor expected = add_norm_reference(rx, rr, rg, rb, 1e-5, dropout, rows);
      expected.backward(d_out.to(at::kFloat));
      EXPECT_LT(relative_error(out, expected), tolerance()) << columns;
      EXPECT_LT(relative_error(dx, rx.grad(), 1e-1), 4 * tolerance()) << columns;
      EXPECT_LT(relative_error(d_residual, rr.grad(), 1e-1), 4 * tolerance()) << columns;
      EXPECT_LT(relative_error(gamma_grad - 1, rg.grad(), 1), 4 * tolerance()) << columns;
      EXPECT_LT(relative_error(beta_grad - 1, rb.grad()), 4 * tolerance()) << columns;
    }
}

TEST_P(Kernels, EmbeddingsEqualTheirReference) {
  for (const int64_t columns : {5, 32, 384})
    for (const float p : {0.f, 0.1f}) {
      const int64_t n = 50, skipped = 3;
      const RowIds rows = some_rows(n);
      const Dropout dropout = some_dropout(p);
      const at::Tensor words = at::randn({20, columns}), positions = at::randn({9, columns}), types = at::randn({2, columns});
      const at::Tensor gamma = at::randn({columns}) + 1, beta = at::randn({columns}), d_out = random({n, columns});
      const at::Tensor word_ids = at::randint(20, {n}, at::kInt), position_ids = at::randint(9, {n}, at::kInt),
                       type_ids = at::randint(2, {n}, at::kInt);
      NormState state;
      const at::Tensor out = embed_forward({words, positions, types, word_ids, position_ids, type_ids}, gamma, beta, 1e-12,
                                           dropout, rows, type(), state, table());
      const at::Tensor gamma_grad = at::zeros({columns}), beta_grad = at::zeros({columns}), word_grad = at::zeros({20, columns});
      const at::Tensor d = embed_backward(d_out, state, gamma, dropout, rows, gamma_grad, beta_grad, table());
      scatter_rows(d, word_ids, skipped, word_grad, table());

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

TEST_P(Kernels, DropoutMasksAreThoseOfTheScalarGenerator) {
  for (const int64_t columns : {1, 16, 63, 64, 65, 384}) {
    const RowIds rows = some_rows(33);
    const Dropout dropout = some_dropout(0.25f);
    const at::Tensor kept = dropout_rows(at::ones({33, columns}, type()), dropout, rows, table());
    EXPECT_TRUE(kept.equal(hidden_multiplier(dropout, rows, columns).to(type()))) << columns;
  }
}

TEST_P(Kernels, ActivationsAndTheirDerivatives) {
  for (const Activation activation : {Activation::kGelu, Activation::kGeluNew, Activation::kRelu, Activation::kTanh}) {
    const at::Tensor x =
        at::cat({at::linspace(-12, 12, 4001), at::linspace(-0.2, 0.2, 1001), at::tensor({-100.f, 100.f, 0.f})}).to(type());
    const at::Tensor d_out = random(x.sizes());
    const at::Tensor rx = leaf(x).to(at::kDouble).detach().set_requires_grad(true);
    const at::Tensor expected = activation_reference(rx, activation);
    expected.backward(d_out.to(at::kDouble));
    const at::Tensor derivative = x.clone();
    const at::Tensor out = activation_forward(derivative, activation, table());
    const at::Tensor dx = activation_backward(d_out, derivative, table());
    const auto error = [](const at::Tensor& a, const at::Tensor& e) {
      return ((a.to(at::kDouble) - e).abs() / (e.abs() + 1)).max().item<double>();
    };
    const double limit = type() == at::kFloat ? 1e-6 : 1e-2;
    EXPECT_LT(error(out, expected.detach()), limit) << activation_name(activation);
    EXPECT_LT(error(dx, rx.grad()), limit) << activation_name(activation);
  }
}

TEST_P(Kernels, NotANumberIsNeverLost) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const RowIds rows = some_rows(2);
  for (const Activation activation : {Activation::kGelu, Activation::kGeluNew, Activation::kRelu, Activation::kTanh}) {
    const at::Tensor x = at::full({20}, nan).to(type());
    EXPECT_TRUE(activation_forward(x, activation, table()).isnan().all().item<bool>()) << activation_name(activation);
  }
  at::Tensor x = random({2, 32});
  x[0][5] = nan;
  NormState state;
  const at::Tensor out = add_norm_forward(x, x, at::ones({32}), at::zeros({32}), 1e-5, {}, rows, state, table());
  EXPECT_TRUE(out[0].isnan().all().item<bool>());
  EXPECT_FALSE(out[1].isnan().any().item<bool>());
  at::Tensor weights;
  EXPECT_TRUE(attention_forward(x, x, x, segments_of({2}, 1, false), {}, weights, table()).isnan().all().item<bool>());
}

TEST_P(Kernels, ColumnSumsAreAddedTo) {
  for (const int64_t columns : {1, 31, 64, 130, 1536}) {
    const at::Tensor x = random({37, columns}), sums = at::full({columns}, 2.f);
    add_column_sums(x, sums, table());
    EXPECT_LT(relative_error(sums, x.to(at::kDouble).sum(0) + 2), kFp32);
  }
}

TEST(Linear, ThreeProductsEqualAutograd) {
  at::manual_seed(5);
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16})
    for (const auto& [n, in, out] :
         {std::tuple<int64_t, int64_t, int64_t>{1, 8, 3}, {214, 384, 1536}, {37, 100, 70}, {16, 384, 2}}) {
      const at::Tensor x = at::randn({n, in}).to(type), weight = (at::randn({out, in}) * 0.1).to(type), bias = at::randn({out});
      const at::Tensor dy = at::randn({n, out}).to(type), dx = at::ones({n, in}, type);
      const at::Tensor weight_grad = at::ones({out, in}), bias_grad = at::ones({out});
      const at::Tensor y = linear_forward(x, weight, bias);
      linear_backward_weight(dy, x, weight_grad);
      linear_backward_bias(dy, bias_grad);
      linear_backward_input(dy, weight, dx, false);
      const at::Tensor twice = dx.clone();
      linear_backward_input(dy, weight, twice, true);

      const at::Tensor rx = x.to(at::kDouble), rw = weight.to(at::kDouble), rd = dy.to(at::kDouble);
      const double limit = type == at::kFloat ? 1e-5 : 1e-2;
      EXPECT_LT(relative_error(y, at::addmm(bias.to(at::kDouble), rx, rw.t())), limit);
      EXPECT_LT(relative_error(weight_grad - 1, at::mm(rd.t(), rx)), limit);
      EXPECT_LT(relative_error(bias_grad - 1, rd.sum(0)), limit);
      EXPECT_LT(relative_error(dx, at::mm(rd, rw)), limit);
      EXPECT_LT(relative_error(twice, 2 * at::mm(rd, rw)), limit);
    }
}

TEST(Masks, KeepTheRightShareAndDifferBetweenStreams) {
  const RowIds rows = some_rows(500);
  const Dropout one = {0.1f, philox_key(1, Purpose::kFfnOutputDropout, 5, 0)},
                next_step = {0.1f, philox_key(1, Purpose::kFfnOutputDropout, 6, 0)},
                other_layer = {0.1f, philox_key(1, Purpose::kFfnOutputDropout, 5, 1)};
  const at::Tensor mask = dropout_rows(at::ones({500, 384}), one, rows);
  // 192,000 draws: the standard deviation of the share is 0.0007.
  EXPECT_NEAR(mask.gt(0).to(at::kDouble).mean().item<double>(), 0.9, 0.003);
  for (const Dropout& other : {next_step, other_layer}) {
    const at::Tensor agree = mask.eq(dropout_rows(at::ones({500, 384}), other, rows));
    EXPECT_NEAR(agree.to(at::kDouble).mean().item<double>(), 0.82, 0.004);  // 0.9^2 + 0.1^2
  }
}

std::string parameter_name(const ::testing::TestParamInfo<Kernels::ParamType>& info) {
  return std::string(std::get<0>(info.param)->name) + (std::get<1>(info.param) == at::kFloat ? "_fp32" : "_bf16");
}
INSTANTIATE_TEST_SUITE_P(Tables, Kernels,
                         ::testing::Combine(::testing::ValuesIn(cpu::supported_tables()),
                                            ::testing::Values(at::kFloat, at::kBFloat16)),
                         parameter_name);

}  // namespace
}  // namespace berth::train
