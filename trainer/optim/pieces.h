// The elements that the CPU's optimizer updates, in pieces of a fixed size, so that nothing depends on the number of threads.
#pragma once

#include <algorithm>
#include <vector>

#include "trainer/model/parameters.h"
#include "trainer/optim/adamw_kernels.h"
#include "trainer/optim/device_step.h"

namespace berth::train {

// Neighbouring elements of one parameter; of a kRows table a row.
struct Piece {
  int64_t index;  // in its parameter, of what this rank has of it
  float* values;
  const float* grads;
  float *first, *second;  // moments
  float* average;         // null: none is kept
  uint16_t* bf16;         // the compute copy, as bf16 or as fp32; null: not so
  float* rounded;
  int64_t size;
  bool has_moments;  // false: they are zero, and there has never been a gradient
};

// What depends on a piece's values, after they have changed.
inline void follow(const Piece& piece, float average_weight) {
  if (piece.average != nullptr) kernels::average(piece.average, piece.values, piece.size, average_weight);
  if (piece.bf16 != nullptr) kernels::round_to_bf16(piece.bf16, piece.values, piece.size);
  if (piece.rounded != nullptr) kernels::round_to_bf16(piece.rounded, piece.values, piece.size);
}

// Calls work(piece) for all pieces of what is this rank's of `parameter`, which is not frozen, on several threads. `ever_touched`: rows
// of a kRows table.
template <class Work>
void for_pieces(ParameterStore& store, const std::vector<Moments>& moments, const std::vector<uint8_t>& ever_touched,
                const Parameter& parameter, const Work& work) {
  const auto bucket_index = static_cast<size_t>(parameter.bucket);
  const Bucket& bucket = store.buckets()[bucket_index];
  const int64_t begin = std::max(parameter.offset, bucket.part_begin),
                n = std::min(parameter.offset + parameter.value.numel(), bucket.part_begin + bucket.part_size) - begin;
  if (n <= 0) return;
  const bool rows = bucket.kind == GradKind::kRows;
  const int64_t size = rows ? parameter.value.size(1) : kChunk, in_part = begin - bucket.part_begin;
  const int64_t first_row = rows ? (begin - parameter.offset) / size : 0;
  const Moments& of_part = moments[bucket_index];
  float* values = bucket.values.mutable_data_ptr<float>() + begin;
  const float* grads = bucket.grads.const_data_ptr<float>() + begin;
  float* first = of_part.first.mutable_data_ptr<float>() + in_part;
  float* second = of_part.second.mutable_data_ptr<float>() + in_part;
  float* average = of_part.average.defined() ? of_part.average.mutable_data_ptr<float>() + in_part : nullptr;
  // Of what is cut among all ranks the whole copy is made when these have exchanged their parts.
  const at::Tensor& copy = bucket.compute_values;
  const bool copies = copy.defined() && (!bucket.is_cut || !bucket.part_ends.empty());
  uint16_t* bf16 = copies && copy.scalar_type() == at::kBFloat16
                       ? reinterpret_cast<uint16_t*>(copy.mutable_data_ptr<at::BFloat16>()) + begin
                       : nullptr;
  float* rounded = copies && copy.scalar_type() == at::kFloat ? copy.mutable_data_ptr<float>() + begin : nullptr;
  at::parallel_for(0, (n + size - 1) / size, rows ? 1024 : 1, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) {
      const int64_t at = i * size;
      work(Piece{.index = i,
                 .values = values + at,
                 .grads = grads + at,
                 .first = first + at,
                 .second = second + at,
                 .average = average == nullptr ? nullptr : average + at,
                 .bf16 = bf16 == nullptr ? nullptr : bf16 + at,
                 .rounded = rounded == nullptr ? nullptr : rounded + at,
                 .size = std::min(size, n - at),
                 .has_moments = !rows || ever_touched[static_cast<size_t>(first_row + i)] != 0});
    }
  });
}

}  // namespace berth::train
