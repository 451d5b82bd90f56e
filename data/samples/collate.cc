#include "data/samples/collate.h"

#include <numeric>

namespace berth::data {

void begin_batch(Batch& batch) {
  for (auto* ints : {&batch.cu_seqlens, &batch.input_ids, &batch.token_type_ids, &batch.position_ids, &batch.labels})
    ints->clear();
  batch.sample_ids.clear();
  batch.float_labels.clear();
  batch.cu_seqlens.push_back(0);
}

void append_tokens(Batch& batch, int64_t sample_id, std::span<const int32_t> input_ids, int32_t segment_b) {
  const size_t begin = batch.input_ids.size(), end = begin + input_ids.size();
  batch.sample_ids.push_back(sample_id);
  batch.input_ids.insert(batch.input_ids.end(), input_ids.begin(), input_ids.end());
  batch.token_type_ids.resize(begin + static_cast<size_t>(segment_b), 0);
  batch.token_type_ids.resize(end, 1);
  batch.position_ids.resize(end);
  std::iota(batch.position_ids.begin() + static_cast<ptrdiff_t>(begin), batch.position_ids.end(), 0);
  batch.cu_seqlens.push_back(static_cast<int32_t>(end));
}

}  // namespace berth::data
