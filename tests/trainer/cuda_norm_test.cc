// berth's CUDA kernels for LayerNorm, embeddings and dropout, on fibers or on a GPU (tests/support/device_array.h), against the CPU's kernels in fp32, dropout on. Numbers
// that the kernels keep in 16 bits are given to both sides as they are after rounding.
#include "tests/trainer/cuda_rows.h"

namespace berth::train::cuda {
namespace {

using kernels::DropoutArgs;
using kernels::EmbeddingArgs;
using kernels::NormArgs;
using test::DeviceArray;

template <class T>
class CudaNorms : public RowsOf<T> {};
TYPED_TEST_SUITE(CudaNorms, RowTypes);

struct Shape {
  int64_t rows, columns;
  double p;
};
// Every layout: a row in one warp or in four, whole vectors or not, one row or more than blocks have warps.
const Shape kShapes[] = {{1, 8, 0.1},    {5, 1, 0.3},    {13, 10, 0.1},  {37, 64, 0.1},   {1100, 32, 0.1}, {9, 256, 0},
                         {9, 264, 0.1},  {6, 384, 0.5},  {11, 768, 0.1}, {5, 1000, 0.1},  {7, 1024, 0.1},  {3, 1003, 0.1},
                         {3, 1280, 0.1}, {2, 4096, 0.1}, {2, 4095, 0},   {270, 1032, 0.1}};
std::string name_of(const Shape& s) {
  return std::to_string(s.rows) + " x " + std::to_string(s.columns) + ", p " + std::to_string(s.p);
}

TYPED_TEST(CudaNorms, NormsAreTheCpus) {
  using T = TypeParam;
  for (const Shape& s : kShapes) {
    SCOPED_TRACE(name_of(s));
    const int64_t n = s.rows * s.columns;
    const Places places(s.rows);
    const auto x = this->rows(n), residual = this->rows(n), d_out = this->rows(n);
    const auto gamma = this->normal(s.columns, 0.2f, 1), beta = this->normal(s.columns, 0.2f);
    const auto before = this->normal(3 * s.columns);  // in the gradients, which are added to
    const DropoutArgs dropout = dropout_of(s.p);

    const DeviceArray<T> dx_in(x), residual_in(residual), d_out_in(d_out), out(n), normalized(n), dx(n), d_residual(n);
    const DeviceArray<float> gamma_in(gamma), beta_in(beta), rstd(s.rows), grads(before);
    const NormArgs<T> args{places.device(s.columns), dropout,    gamma_in.data(), beta_in.data(), 1e-5f,
                           normalized.data(),        rstd.data()};
    add_norm_forward(args, dx_in.data(), residual_in.data(), out.data(), s.rows, nullptr);
    const DeviceArray<float> workspace(add_norm_backward_workspace(s.rows, s.columns));
    add_norm_backward(args, d_out_in.data(), dx.data(), d_residual.data(), grads.data(), grads.data() + s.columns,
                      grads.data() + 2 * s.columns, s.rows, workspace.data(), nullptr);
    workspace.read();

    std::vector<float> expected(n), expected_normalized(n), expected_rstd(s.rows), expected_dx(n), expected_d_residual(n),
        expected_grads = before, scratch(2 * (s.columns + 16));
    const auto x32 = values_of(x), residual32 = values_of(residual), d_out32 = values_of(d_out);
    const NormArgs<float> host{places.host(s.columns), dropout, gamma.data(), beta.data(), 1e-5f, expected_normalized.data(),
                               expected_rstd.data()};
    reference().add_norm_forward(host, x32.data(), residual32.data(), expected.data(), 0, s.rows, scratch.data());
    EXPECT_LT(error(out.read(), expected), this->kTolerance);
    EXPECT_LT(error(normalized.read(), expected_normalized), this->kTolerance);
    EXPECT_LT(error(rstd.read(), expected_rstd), 3e-6);

    std::ranges::copy(values_of(normalized.read()), expected_normalized.begin());  // as it was rounded
    std::vector<float> sums(2 * (s.columns + 16));                                 // the CPU's kernel adds whole vectors
    reference().add_norm_backward(host, d_out32.data(), expected_dx.data(), expected_d_residual.data(), sums.data(),
                                  sums.data() + s.columns + 16, 0, s.rows, scratch.data());
    if (s.p == 0) expected_dx = expected_d_residual;
    for (int64_t c = 0; c < s.columns; ++c) {
      expected_grads[c] += sums[c];
      expected_grads[s.columns + c] += sums[s.columns + 16 + c];
      double bias = 0;
      for (int64_t r = 0; r < s.rows; ++r) bias += expected_dx[r * s.columns + c];
      expected_grads[2 * s.columns + c] += static_cast<float>(bias);
    }
    if (s.columns > 1) {  // of one column, the gradient is zero but for rounding
      EXPECT_LT(error(d_residual.read(), expected_d_residual), this->kTolerance);
      if (s.p > 0) {
        EXPECT_LT(error(dx.read(), expected_dx), this->kTolerance);
      }
    }
    EXPECT_LT(error(grads.read(), expected_grads), 3e-6);

    // The masks, element by element: what was dropped has no gradient.
    if (s.p == 0 || s.columns == 1) continue;
    const auto got = dx.read();
    int64_t differ = 0, dropped = 0;
    for (int64_t i = 0; i < n; ++i) {
      differ += (value_of(got[i]) == 0) != (expected_dx[i] == 0);
      dropped += expected_dx[i] == 0;
    }
    EXPECT_EQ(differ, 0);
    if (n > 100) {
      EXPECT_NEAR(static_cast<double>(dropped) / static_cast<double>(n), s.p, 0.1);
    }
  }
}

TYPED_TEST(CudaNorms, NormsWithoutGradientsOfTheirParameters) {
  using T = TypeParam;
  const int64_t rows = 9, columns = 72;
  const Places places(rows);
  const DeviceArray<T> d_out(this->rows(rows * columns)), normalized(this->rows(rows * columns)), dx(rows * columns),
      d_residual(rows * columns);
  const DeviceArray<T> dx_again(rows * columns), d_residual_again(rows * columns);
  const DeviceArray<float> gamma(this->normal(columns)), rstd(std::vector<float>(rows, 2.f)),
      beta_grad(std::vector<float>(columns, 1.f));
  const DeviceArray<float> workspace(add_norm_backward_workspace(rows, columns));
  const NormArgs<T> args{places.device(columns), dropout_of(0.1), gamma.data(), nullptr, 1e-5f, normalized.data(), rstd.data()};
  add_norm_backward<T>(args, d_out.data(), dx.data(), d_residual.data(), nullptr, nullptr, nullptr, rows, workspace.data(),
                       nullptr);
  add_norm_backward<T>(args, d_out.data(), dx_again.data(), d_residual_again.data(), nullptr, beta_grad.data(), nullptr, rows,
                       workspace.data(), nullptr);
  EXPECT_EQ(bits_of(dx.read()), bits_of(dx_again.read()));
  EXPECT_EQ(bits_of(d_residual.read()), bits_of(d_residual_again.read()));
  const auto d = values_of(d_out.read());
  const auto got = beta_grad.read();
  for (int64_t c = 0; c < columns; ++c) {
    double expected = 1;
    for (int64_t r = 0; r < rows; ++r) expected += d[r * columns + c];
    EXPECT_NEAR(got[c], expected, 1e-5);
  }
}

TYPED_TEST(CudaNorms, EmbeddingsAreTheCpus) {
  using T = TypeParam;
  for (const Shape& s : kShapes) {
    SCOPED_TRACE(name_of(s));
    const int64_t n = s.rows * s.columns;
    const Places places(s.rows);
    const auto words = this->normal(50 * s.columns), positions = this->normal(20 * s.columns),
               types = this->normal(2 * s.columns);
    std::vector<int32_t> word_ids(s.rows), position_ids(s.rows), type_ids(s.rows);
    for (int64_t r = 0; r < s.rows; ++r) {
      word_ids[r] = static_cast<int32_t>(this->random()() % 50);
      position_ids[r] = static_cast<int32_t>(this->random()() % 20);
      type_ids[r] = static_cast<int32_t>(this->random()() % 2);
    }
    const auto gamma = this->normal(s.columns, 0.2f, 1), beta = this->normal(s.columns, 0.2f),
               before = this->normal(2 * s.columns);
    const auto d_out = this->rows(n);
    const DropoutArgs dropout = dropout_of(s.p);

    const DeviceArray<float> words_in(words), positions_in(positions), types_in(types), gamma_in(gamma), beta_in(beta),
        rstd(s.rows), d_sum(n), grads(before), workspace(embed_backward_workspace(s.rows, s.columns));
    const DeviceArray<int32_t> word_ids_in(word_ids), position_ids_in(position_ids), type_ids_in(type_ids);
    const DeviceArray<T> out(n), normalized(n), d_out_in(d_out);
    const NormArgs<T> args{places.device(s.columns), dropout,    gamma_in.data(), beta_in.data(), 1e-12f,
                           normalized.data(),        rstd.data()};
    const EmbeddingArgs tables{words_in.data(),    positions_in.data(),    types_in.data(),
                               word_ids_in.data(), position_ids_in.data(), type_ids_in.data()};
    embed_forward(args, tables, out.data(), s.rows, nullptr);
    embed_backward(args, d_out_in.data(), d_sum.data(), grads.data(), grads.data() + s.columns, s.rows, workspace.data(),
                   nullptr);
    workspace.read();

    if (s.columns == 1) continue;  // normalizes to zero, divides by next to nothing
    std::vector<float> expected(n), expected_normalized(n), expected_rstd(s.rows), expected_d_sum(n),
        expected_grads = before, scratch(2 * (s.columns + 16)), sums(2 * (s.columns + 16));
    const auto d_out32 = values_of(d_out);
    const NormArgs<float> host{places.host(s.columns), dropout, gamma.data(), beta.data(), 1e-12f, expected_normalized.data(),
                               expected_rstd.data()};
    reference().embed_forward(
        host, {words.data(), positions.data(), types.data(), word_ids.data(), position_ids.data(), type_ids.data()},
        expected.data(), 0, s.rows, scratch.data());
    const auto got = out.read();
    EXPECT_LT(error(got, expected), this->kTolerance);
    int64_t differ = 0;  // what was dropped is zero
    for (int64_t i = 0; i < n; ++i) differ += (value_of(got[i]) == 0) != (expected[i] == 0);
    EXPECT_EQ(differ, 0);

    std::ranges::copy(values_of(normalized.read()), expected_normalized.begin());  // as it was rounded
    reference().embed_backward(host, d_out32.data(), expected_d_sum.data(), sums.data(), sums.data() + s.columns + 16, 0, s.rows,
                               scratch.data());
    for (int64_t c = 0; c < s.columns; ++c) {
      expected_grads[c] += sums[c];
      expected_grads[s.columns + c] += sums[s.columns + 16 + c];
    }
    EXPECT_LT(error(d_sum.read(), expected_d_sum), 3e-6);
    EXPECT_LT(error(grads.read(), expected_grads), 3e-6);
  }
}

TYPED_TEST(CudaNorms, DropoutIsTheCpusToTheBit) {
  using T = TypeParam;
  for (const Shape& s : kShapes) {
    SCOPED_TRACE(name_of(s));
    const int64_t n = s.rows * s.columns;
    const Places places(s.rows);
    DropoutArgs dropout = dropout_of(s.p);
    dropout.scale = 2;  // exact in every type
    const auto x = this->rows(n);
    const DeviceArray<T> in(x), out(n);
    dropout_rows(places.device(s.columns), dropout, in.data(), out.data(), s.rows, nullptr);
    const auto x32 = values_of(x);
    std::vector<float> expected(n);
    reference().dropout(places.host(s.columns), dropout, x32.data(), expected.data(), 0, s.rows);
    EXPECT_EQ(bits_of(out.read()), bits_of(nearest<T>(expected)));
  }
}

}  // namespace
}  // namespace berth::train::cuda
