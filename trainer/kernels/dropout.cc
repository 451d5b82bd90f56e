#include "trainer/kernels/dropout.h"

namespace berth::train {
namespace {

float multiplier(const Dropout& dropout, int64_t sample, uint32_t c2, int64_t element) {
  const uint32_t c3 = static_cast<uint32_t>(element / 64 * 16 + element % 16);
  const PhiloxCounter words =
      philox({static_cast<uint32_t>(sample), static_cast<uint32_t>(static_cast<uint64_t>(sample) >> 32), c2, c3}, dropout.key);
  return philox_uniform(words[element % 64 / 16]) >= dropout.p ? dropout.scale() : 0.f;
}

}  // namespace

at::Tensor hidden_multiplier(const Dropout& dropout, const RowIds& rows, int64_t columns) {
  const int64_t n = rows.samples.size(0);
  at::Tensor result = at::empty({n, columns}, at::kFloat);
  float* out = result.data_ptr<float>();
  const int64_t* samples = rows.samples.const_data_ptr<int64_t>();
  const int32_t* positions = rows.positions.const_data_ptr<int32_t>();
  for (int64_t row = 0; row < n; ++row)
    for (int64_t column = 0; column < columns; ++column)
      out[row * columns + column] = multiplier(dropout, samples[row], positions[row], column);
  return result;
}

at::Tensor attention_multiplier(const Dropout& dropout, const at::Tensor& samples, const at::Tensor& tokens, int64_t heads,
                                int64_t queries, int64_t max_tokens) {
  const int64_t batch = samples.size(0);
  at::Tensor result = at::zeros({batch, heads, queries, max_tokens}, at::kFloat);
  auto out = result.accessor<float, 4>();
  const int64_t* ids = samples.const_data_ptr<int64_t>();
  const auto lengths = tokens.to(at::kLong);
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t length = lengths.const_data_ptr<int64_t>()[b], pitch = attention_pitch(length);
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t q = 0; q < std::min(queries, length); ++q)
        for (int64_t k = 0; k < length; ++k)
          out[b][h][q][k] = multiplier(dropout, ids[b], static_cast<uint32_t>(h), q * pitch + k);
  }
  return result;
}

}  // namespace berth::train
