#include "data/samples/collate.h"

#include <gtest/gtest.h>

namespace berth::data {
namespace {

// Three samples of 3, 2 and 4 tokens.
Batch three() {
  Batch batch;
  begin_batch(batch);
  append_sample(batch, 7);
  append_sequence(batch, 7, std::vector<int32_t>{1, 2, 3}, 2);
  append_sample(batch, 5);
  append_sequence(batch, 5, std::vector<int32_t>{4, 5}, 2);
  append_sample(batch, 9);
  append_sequence(batch, 9, std::vector<int32_t>{6, 7, 8, 9}, 1);
  return batch;
}

TEST(Single, TakesASamplesTokens) {
  const Batch last = single(three(), 2);
  EXPECT_EQ(last.sample_ids, (std::vector<int64_t>{9}));
  EXPECT_EQ(last.cu_seqlens, (std::vector<int32_t>{0, 4}));
  EXPECT_EQ(last.input_ids, (std::vector<int32_t>{6, 7, 8, 9}));
  EXPECT_EQ(last.token_type_ids, (std::vector<int32_t>{0, 1, 1, 1}));
  EXPECT_EQ(last.position_ids, (std::vector<int32_t>{0, 1, 2, 3}));
}

TEST(Single, TakesAllSequencesOfASample) {
  Batch batch;
  begin_batch(batch);
  append_sample(batch, 3);
  append_sequence(batch, 5, std::vector<int32_t>{1, 2}, 2);
  append_sample(batch, 4);
  append_sequence(batch, 6, std::vector<int32_t>{3, 4, 5}, 1);
  append_sequence(batch, 7, std::vector<int32_t>{6, 7}, 2);
  EXPECT_EQ(batch.tokens_of(1), 5);
  EXPECT_EQ(batch.pairs(), 4 + 9 + 4);
  batch.labels = {0, 1};
  const Batch last = single(batch, 1);
  EXPECT_EQ(last.sample_ids, (std::vector<int64_t>{4}));
  EXPECT_EQ(last.cu_samples, (std::vector<int32_t>{0, 2}));
  EXPECT_EQ(last.sequence_ids, (std::vector<int64_t>{6, 7}));
  EXPECT_EQ(last.cu_seqlens, (std::vector<int32_t>{0, 3, 5}));
  EXPECT_EQ(last.position_ids, (std::vector<int32_t>{0, 1, 2, 0, 1}));
  EXPECT_EQ(last.labels, (std::vector<int32_t>{1}));
}

TEST(Single, TakesItsLabelsWhateverTheirShape) {
  const struct {
    std::vector<int32_t> labels, of_second;
  } table[] = {{{0, 1, 2}, {1}},                                           // a class
               {{10, 11, 20, 21, 30, 31}, {20, 21}},                       // a span
               {{0, 1, 2, 3, 4, 5, 6, 7, 8}, {3, 4}},                      // one a token
               {{0, 1, 2, 3, 4, 5, 6, 7, 8, 100, 101, 102}, {3, 4, 101}},  // and one a sample: pretraining
               {{}, {}}};
  for (const auto& [labels, of_second] : table) {
    Batch batch = three();
    batch.labels = labels;
    EXPECT_EQ(single(batch, 1).labels, of_second);
  }
  Batch batch = three();
  batch.float_labels = {0, 1, 2, 3, 4, 5};
  EXPECT_EQ(single(batch, 1).float_labels, (std::vector<float>{2, 3}));
}

}  // namespace
}  // namespace berth::data
