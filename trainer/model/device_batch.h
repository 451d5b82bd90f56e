// A batch on the device, with what the model wants to know of it that the host alone can say without being waited for.
#pragma once

#include <c10/core/Event.h>

#include "data/samples/batch.h"
#include "trainer/kernels/ops.h"
#include "trainer/torch.h"

namespace berth::train {

// The lowest and the highest of a batch's ids.
struct IdRange {
  int32_t lowest = 0, highest = 0;
};

// A data::Batch as tensors on the device, views of one piece of memory. T tokens, S sequences, B samples.
struct DeviceBatch {
  at::Tensor cu_samples;       // [B + 1] int32
  at::Tensor sequence_ids;     // [S] int64
  at::Tensor cu_seqlens;       // [S + 1] int32
  at::Tensor input_ids;        // [T] int32
  at::Tensor token_type_ids;   // [T] int32
  at::Tensor position_ids;     // [T] int32
  at::Tensor labels;           // as data::Batch::labels, int64
  at::Tensor float_labels;     // as data::Batch::float_labels
  at::Tensor token_sequences;  // [T] int64, the sequence id of each token
  at::Tensor first_tokens;     // [S] int64, the row of each sequence's first token
  at::Tensor first_positions;  // [S] int32, its position: zeros
  at::Tensor targets;          // [N] int64, where labels are one a token (or begin so): the tokens that have one, ascending
  at::Tensor target_sequences, target_positions;  // [N] int64 and int32, of these tokens
  at::Tensor by_word, by_position, by_type;       // [T] int32: rows sorted by these ids (TableRows::order); undefined on the CPU
  IdRange input_id_range, position_range, token_type_range;
  int64_t max_seqlen = 0;
  int64_t most_sequences = 0;  // of a sample
  int64_t size() const { return cu_samples.size(0) - 1; }
};

// One copy, which the host does not wait for. Throws Error(kInternal) if the batch's parts do not fit each other. (Ids are checked
// by BertEncoder::forward.)
DeviceBatch to_device(const data::Batch& batch, at::Device device);

// A batch on its way to the device, sent by a thread that has nothing to do with those who compute. On a GPU it is copied on a stream of
// its own; whoever takes it, must keep it until the GPU is known to be through with what was computed with it, because that stream does
// not wait for others before it uses the memory again.
class BatchUpload {
 public:
  // `copies`: that stream, of the device.
  BatchUpload(const data::Batch& batch, c10::Stream copies);
  // What comes next on the current stream waits for the copy, the host does not.
  const DeviceBatch& arrived() const;

 private:
  DeviceBatch batch_;
  c10::Event copied_;  // is not recorded on the CPU, where the batch is there at once
};

// Some of a batch's tokens.
struct TokenRows {
  at::Tensor places;           // [N] int64, in the batch; undefined: all T
  RowIds ids;                  // of them: what keys their dropout
  bool first_of_each = false;  // they are each sequence's first token
};
TokenRows all_rows(const DeviceBatch& batch);
TokenRows first_token_rows(const DeviceBatch& batch);
TokenRows target_rows(const DeviceBatch& batch);
TokenRows join(const TokenRows& a, const TokenRows& b);  // those of a, then those of b

}  // namespace berth::train
