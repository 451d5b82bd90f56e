// Samples to a Batch: tokens packed end to end.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "data/samples/batch.h"

namespace berth::data {

// Empties `batch`, keeping its memory, so that samples can be appended.
void begin_batch(Batch& batch);

// Appends a sample without tokens; its sequences, at least one, are appended next. The caller appends the labels.
void append_sample(Batch& batch, int64_t sample_id);
// Appends a sequence to the last sample; `segment_b` is the index of segment B's first token (the number of tokens if there is one
// segment).
void append_sequence(Batch& batch, int64_t sequence_id, std::span<const int32_t> input_ids, int32_t segment_b);

// Sample `b` of `batch` alone. Labels are one a token where there are as many, and what is beyond them, or all, is shared evenly by the
// samples (data/samples/task.h, and Batch::labels of pretraining).
Batch single(const Batch& batch, int64_t b);

// What a task does to each batch after it is collated, such as masking tokens: a pure function of the batch and the epoch.
using BatchTransform = std::function<void(Batch& batch, uint64_t epoch)>;

}  // namespace berth::data
