#include "data/samples/collate.h"

#include <numeric>

namespace berth::data {

void begin_batch(Batch& batch) {
  for (auto* ints :
       {&batch.cu_samples, &batch.cu_seqlens, &batch.input_ids, &batch.token_type_ids, &batch.position_ids, &batch.labels})
    ints->clear();
  batch.sample_ids.clear();
  batch.sequence_ids.clear();
  batch.float_labels.clear();
  batch.cu_samples.push_back(0);
  batch.cu_seqlens.push_back(0);
}

void append_sample(Batch& batch, int64_t sample_id) {
  batch.sample_ids.push_back(sample_id);
  batch.cu_samples.push_back(batch.cu_samples.back());
}

void append_sequence(Batch& batch, int64_t sequence_id, std::span<const int32_t> input_ids, int32_t segment_b) {
  const size_t begin = batch.input_ids.size(), end = begin + input_ids.size();
  ++batch.cu_samples.back();
  batch.sequence_ids.push_back(sequence_id);
  batch.input_ids.insert(batch.input_ids.end(), input_ids.begin(), input_ids.end());
  batch.token_type_ids.resize(begin + static_cast<size_t>(segment_b), 0);
  batch.token_type_ids.resize(end, 1);
  batch.position_ids.resize(end);
  std::iota(batch.position_ids.begin() + static_cast<ptrdiff_t>(begin), batch.position_ids.end(), 0);
  batch.cu_seqlens.push_back(static_cast<int32_t>(end));
}

Batch single(const Batch& batch, int64_t b) {
  const auto part = [](const auto& values, int64_t begin, int64_t end, auto& into) {
    into.insert(into.end(), values.begin() + begin, values.begin() + end);
  };
  const auto share = [&](const auto& values, int64_t from, auto& into) {
    const int64_t each = (std::ssize(values) - from) / batch.size();
    part(values, from + b * each, from + (b + 1) * each, into);
  };
  const int32_t first = batch.cu_samples[b], last = batch.cu_samples[b + 1];
  const int64_t begin = batch.cu_seqlens[first], end = batch.cu_seqlens[last], tokens = batch.tokens();
  Batch one;
  one.sample_ids = {batch.sample_ids[b]};
  one.cu_samples = {0, last - first};
  part(batch.sequence_ids, first, last, one.sequence_ids);
  for (int32_t s = first; s <= last; ++s) one.cu_seqlens.push_back(batch.cu_seqlens[s] - static_cast<int32_t>(begin));
  part(batch.input_ids, begin, end, one.input_ids);
  part(batch.token_type_ids, begin, end, one.token_type_ids);
  part(batch.position_ids, begin, end, one.position_ids);
  const bool by_token = std::ssize(batch.labels) >= tokens && tokens > 2 * batch.size();
  if (by_token) part(batch.labels, begin, end, one.labels);
  share(batch.labels, by_token ? tokens : 0, one.labels);
  share(batch.float_labels, 0, one.float_labels);
  return one;
}

}  // namespace berth::data
