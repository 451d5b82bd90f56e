// The products of linear layers on the CPU against the same ones in fp64.
#include <gtest/gtest.h>

#include "data/words.h"
#include "tests/support/golden.h"
#include "trainer/kernels/cpu_kernels.h"

namespace berth::train {
namespace {

using test::relative_error;

// Products of bf16 by this CPU's own instructions or by none, too.
TEST(Linear, ThreeProductsEqualAutograd) {
  at::manual_seed(5);
  const CpuKernels kernels[] = {CpuKernels(cpu::best_table(), true), CpuKernels(cpu::best_table(), false)};
  for (const auto& [type, own] : {std::pair(at::kFloat, 0), {at::kBFloat16, 0}, {at::kBFloat16, 1}})
    for (const auto& [n, in, out] : {std::tuple<int64_t, int64_t, int64_t>{1, 8, 3},
                                     {214, 384, 1536},
                                     {37, 100, 70},
                                     {16, 384, 2},
                                     {1, 64, 64},
                                     {65, 2080, 130},  // more than is summed at a time
                                     {1030, 80, 102},  // the same over rows
                                     {3, 48, 1000}}) {
      const std::string where = at::toString(type) + concat(" ", n, " x ", in, " x ", out);
      // Columns of wider rows, as those of a layer's three projections are.
      const at::Tensor x = at::randn({n, in + 16}).to(type).narrow(1, 16, in),
                       dy = at::randn({n, out + 6}).to(type).narrow(1, 5, out);
      const at::Tensor weight = (at::randn({out, in}) * 0.1).to(type), bias = at::randn({out}), dx = at::ones({n, in}, type);
      const at::Tensor weight_grad = at::ones({out, in}), bias_grad = at::ones({out});
      const at::ScalarType of_weight = kernels[own].weight_type(type);
      EXPECT_EQ(of_weight, own == 0 ? type : at::kFloat);
      const at::Tensor given = weight.to(of_weight), given_bias = bias.to(type).to(of_weight);
      const at::Tensor y = kernels[own].linear_forward(x, given, given_bias);
      kernels[own].linear_backward_weight(dy, x, weight_grad, true);
      kernels[own].add_column_sums(dy, bias_grad);
      kernels[own].linear_backward_input(dy, given, dx, false);
      const at::Tensor twice = dx.clone();
      kernels[own].linear_backward_input(dy, given, twice, true);
      EXPECT_EQ(y.scalar_type(), type);

      const at::Tensor rx = x.to(at::kDouble), rw = weight.to(at::kDouble), rd = dy.to(at::kDouble);
      const double limit = type == at::kFloat ? 1e-5 : 1e-2;
      EXPECT_LT(relative_error(y, at::addmm(given_bias.to(at::kDouble), rx, rw.t())), limit) << where;
      EXPECT_LT(relative_error(weight_grad - 1, at::mm(rd.t(), rx)), limit) << where;
      EXPECT_LT(relative_error(bias_grad - 1, rd.sum(0)), limit) << where;
      EXPECT_LT(relative_error(dx, at::mm(rd, rw)), limit) << where;
      EXPECT_LT(relative_error(twice, 2 * at::mm(rd, rw)), limit) << where;
      // Where weights' gradients of bf16 are summed in fp32 they are not rounded on their way.
      if (own == 1 || (type == at::kBFloat16 && products::available(at::kBFloat16) && products::takes(weight, type))) {
        EXPECT_LT(relative_error(weight_grad - 1, at::mm(rd.t(), rx)), 1e-5) << where;
      }
    }
}

TEST(Linear, ProductsAreTheSameOnAnyThreadsAndARowInAnyBatch) {
  const CpuKernels kernels(cpu::best_table());
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    if (!products::available(type)) continue;  // what ATen takes instead promises nothing
    const at::Tensor x = at::randn({700, 384}).to(type), weight = (at::randn({1000, 384}) * 0.1).to(type),
                     bias = at::randn({1000}).to(type), dy = at::randn({700, 1000}).to(type);
    std::vector<at::Tensor> of_threads[2];
    const int before = at::get_num_threads();
    for (const int threads : {1, 3}) {
      at::set_num_threads(threads);
      const at::Tensor dx = at::empty_like(x), grad = at::zeros({1000, 384});
      kernels.linear_backward_input(dy, weight, dx, false);
      kernels.linear_backward_weight(dy, x, grad, false);
      of_threads[threads / 3] = {kernels.linear_forward(x, weight, bias), dx, grad};
    }
    at::set_num_threads(before);
    for (size_t i = 0; i < of_threads[0].size(); ++i) EXPECT_TRUE(of_threads[0][i].equal(of_threads[1][i])) << i;
    for (const auto& [from, rows] : {std::pair<int64_t, int64_t>{0, 1}, {5, 37}, {63, 130}}) {
      const at::Tensor dx = at::empty({rows, 384}, type);
      kernels.linear_backward_input(dy.narrow(0, from, rows), weight, dx, false);
      EXPECT_TRUE(dx.equal(of_threads[0][1].narrow(0, from, rows))) << rows;
      EXPECT_TRUE(kernels.linear_forward(x.narrow(0, from, rows), weight, bias).equal(of_threads[0][0].narrow(0, from, rows)))
          << rows;
    }
  }
}

}  // namespace
}  // namespace berth::train
