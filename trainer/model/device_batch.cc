#include "trainer/model/device_batch.h"

#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>

#include "data/check.h"
#include "data/samples/id_order.h"
#include "trainer/model/upload.h"

namespace berth::train {
namespace {

IdRange range_of(const std::vector<int32_t>& ids) {
  const auto [lowest, highest] = std::minmax_element(ids.begin(), ids.end());
  return {*lowest, *highest};
}

void check_parts(const data::Batch& batch) {
  const int64_t size = batch.size(), sequences = batch.sequences(), tokens = batch.tokens();
  const auto cuts = [](const std::vector<int32_t>& ends, int64_t parts, int64_t whole) {
    return std::ssize(ends) == parts + 1 && ends.front() == 0 && ends.back() == whole;
  };
  check_internal(size > 0 && cuts(batch.cu_samples, size, sequences) && cuts(batch.cu_seqlens, sequences, tokens) &&
                     std::ssize(batch.token_type_ids) == tokens && std::ssize(batch.position_ids) == tokens,
                 "a batch of ", size, " samples, ", sequences, " sequences and ", tokens, " tokens does not hold together");
  for (int64_t b = 0; b < size; ++b)
    check_internal(batch.cu_samples[b] < batch.cu_samples[b + 1], "sample ", batch.sample_ids[b], " has no sequence");
  for (int64_t s = 0; s < sequences; ++s)
    check_internal(batch.cu_seqlens[s] < batch.cu_seqlens[s + 1], "sequence ", batch.sequence_ids[s], " has no tokens");
}

// Tokens with a label, where there is one for each.
std::vector<int64_t> targets_of(const data::Batch& batch) {
  std::vector<int64_t> targets;
  if (std::ssize(batch.labels) < batch.tokens()) return targets;
  for (int64_t token = 0; token < batch.tokens(); ++token)
    if (batch.labels[token] != data::kIgnoreIndex) targets.push_back(token);
  return targets;
}

}  // namespace

DeviceBatch to_device(const data::Batch& batch, at::Device device) {
  check_parts(batch);
  DeviceBatch result;
  std::vector<int64_t> token_sequences;
  token_sequences.reserve(static_cast<size_t>(batch.tokens()));
  for (int64_t s = 0; s < batch.sequences(); ++s) {
    const int64_t length = batch.cu_seqlens[s + 1] - batch.cu_seqlens[s];
    token_sequences.insert(token_sequences.end(), static_cast<size_t>(length), batch.sequence_ids[s]);
    result.max_seqlen = std::max(result.max_seqlen, length);
  }
  for (int64_t b = 0; b < batch.size(); ++b)
    result.most_sequences = std::max<int64_t>(result.most_sequences, batch.cu_samples[b + 1] - batch.cu_samples[b]);
  result.input_id_range = range_of(batch.input_ids);
  result.position_range = range_of(batch.position_ids);
  result.token_type_range = range_of(batch.token_type_ids);

  const std::vector<int64_t> first_tokens(batch.cu_seqlens.begin(), batch.cu_seqlens.end() - 1);
  const std::vector<int32_t> first_positions(first_tokens.size(), 0);
  const std::vector<int64_t> labels(batch.labels.begin(), batch.labels.end()), targets = targets_of(batch);
  std::vector<int64_t> target_sequences;
  std::vector<int32_t> target_positions;
  for (const int64_t token : targets) {
    target_sequences.push_back(token_sequences[static_cast<size_t>(token)]);
    target_positions.push_back(batch.position_ids[token]);
  }
  Upload upload;
  upload.add(std::span<const int32_t>(batch.cu_samples), result.cu_samples);
  upload.add(std::span<const int64_t>(batch.sequence_ids), result.sequence_ids);
  upload.add(std::span<const int32_t>(batch.cu_seqlens), result.cu_seqlens);
  upload.add(std::span<const int32_t>(batch.input_ids), result.input_ids);
  upload.add(std::span<const int32_t>(batch.token_type_ids), result.token_type_ids);
  upload.add(std::span<const int32_t>(batch.position_ids), result.position_ids);
  upload.add(std::span<const int64_t>(labels), result.labels);
  upload.add(std::span<const float>(batch.float_labels), result.float_labels);
  upload.add(std::span<const int64_t>(token_sequences), result.token_sequences);
  upload.add(std::span<const int64_t>(first_tokens), result.first_tokens);
  upload.add(std::span<const int32_t>(first_positions), result.first_positions);
  upload.add(std::span<const int64_t>(targets), result.targets);
  upload.add(std::span<const int64_t>(target_sequences), result.target_sequences);
  upload.add(std::span<const int32_t>(target_positions), result.target_positions);
  std::vector<int32_t> words, positions, types;
  if (!device.is_cpu()) {
    upload.add(std::span<const int32_t>(words = data::order_by_id(batch.input_ids)), result.by_word);
    upload.add(std::span<const int32_t>(positions = data::order_by_id(batch.position_ids)), result.by_position);
    upload.add(std::span<const int32_t>(types = data::order_by_id(batch.token_type_ids)), result.by_type);
  }
  upload.send(device);
  return result;
}

BatchUpload::BatchUpload(const data::Batch& batch, c10::Stream copies) : copied_(copies.device_type()) {
  const c10::StreamGuard guard(copies);
  batch_ = to_device(batch, copies.device());
  if (!copies.device().is_cpu()) copied_.record(copies);
}

const DeviceBatch& BatchUpload::arrived() const {
  const at::Device device = batch_.input_ids.device();
  copied_.block(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
  return batch_;
}

TokenRows all_rows(const DeviceBatch& batch) { return {{}, {batch.token_sequences, batch.position_ids}, false}; }

TokenRows first_token_rows(const DeviceBatch& batch) {
  return {batch.first_tokens, {batch.sequence_ids, batch.first_positions}, true};
}

TokenRows target_rows(const DeviceBatch& batch) {
  return {batch.targets, {batch.target_sequences, batch.target_positions}, false};
}

TokenRows join(const TokenRows& a, const TokenRows& b) {
  return {at::cat({a.places, b.places}),
          {at::cat({a.ids.samples, b.ids.samples}), at::cat({a.ids.positions, b.ids.positions})},
          false};
}

}  // namespace berth::train
