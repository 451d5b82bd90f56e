// A batch of samples as plain integers, tokens packed end to end without padding.
#pragma once

#include <cstdint>
#include <vector>

namespace berth::data {

// Label value of positions that take no part in the loss, as in PyTorch and Hugging Face.
inline constexpr int32_t kIgnoreIndex = -100;

// B samples of S sequences with T tokens in all; the encoder sees sequences, a head makes samples of them. Most samples are one
// sequence each; others are a long text's windows or a question's choices. Sample b owns the sequences
// [cu_samples[b], cu_samples[b + 1]), sequence s the tokens [cu_seqlens[s], cu_seqlens[s + 1]).
struct Batch {
  std::vector<int64_t> sample_ids;      // [B] index of the sample in its split; keys results
  std::vector<int32_t> cu_samples;      // [B + 1], cu_samples[0] == 0
  std::vector<int64_t> sequence_ids;    // [S] index of the sequence in its split; keys random numbers
  std::vector<int32_t> cu_seqlens;      // [S + 1], cu_seqlens[0] == 0
  std::vector<int32_t> input_ids;       // [T]
  std::vector<int32_t> token_type_ids;  // [T] 0 for segment A, 1 for segment B
  std::vector<int32_t> position_ids;    // [T] 0-based within the sequence

  // Which of the two is filled, and its shape, is the task's (data/samples/task.h):
  std::vector<int32_t> labels;      // [B] class | [T] class per token or kIgnoreIndex | [2B] first and last answer token
                                    // pretraining: [T] masked token or kIgnoreIndex, then [B] 0 if B follows A, else 1
  std::vector<float> float_labels;  // [B] regression target | [B * num_labels] 0/1 multi-label targets

  int64_t size() const { return static_cast<int64_t>(sample_ids.size()); }
  int64_t sequences() const { return static_cast<int64_t>(sequence_ids.size()); }
  int64_t tokens() const { return static_cast<int64_t>(input_ids.size()); }
  int64_t tokens_of(int64_t sample) const { return cu_seqlens[cu_samples[sample + 1]] - cu_seqlens[cu_samples[sample]]; }
  // Of tokens that attend to each other: the sum of the sequences' squared lengths.
  int64_t pairs() const {
    int64_t pairs = 0;
    for (int64_t s = 0; s < sequences(); ++s)
      pairs += int64_t{cu_seqlens[s + 1] - cu_seqlens[s]} * (cu_seqlens[s + 1] - cu_seqlens[s]);
    return pairs;
  }
};

}  // namespace berth::data
