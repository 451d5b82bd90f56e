#include "trainer/checkpoint/pretrained.h"

#include <gtest/gtest.h>

#include "data/sha256.h"
#include "tests/trainer/checkpoint/tensor_test_util.h"

namespace berth::train {
namespace {

constexpr char kWords[] = "bert.embeddings.word_embeddings.weight", kNorm[] = "bert.embeddings.LayerNorm.weight";

class PretrainedTest : public ::testing::Test {
 protected:
  PretrainedTest()
      : comm_(comm::make_local_communicator()),
        store_({{kWords, {5, 2}}, {kNorm, {2}}, {"bert.pooler.dense.bias", {2}}, {"classifier.weight", {3, 2}}}, *comm_,
               1 << 20) {
    at::NoGradGuard no_grad;
    for (Bucket& bucket : store_.buckets()) bucket.values.fill_(-1);
  }
  void file(const std::vector<NamedShape>& tensors) { write_bytes(folder_ / "model.safetensors", safetensors_bytes(tensors)); }
  PretrainedReport load(PretrainedOptions options = {}) { return load_pretrained(folder_.path(), store_, *comm_, options); }
  std::vector<float> values(const std::string& name) {
    const at::Tensor value = store_[name].value.detach().contiguous();
    return {value.const_data_ptr<float>(), value.const_data_ptr<float>() + value.numel()};
  }
  TempFolder folder_;
  std::unique_ptr<comm::Communicator> comm_;
  ParameterStore store_;
};

TEST_F(PretrainedTest, FillsTheEncoderAndReportsTheRest) {
  file({{"embeddings.word_embeddings.weight", {5, 2}},
        {"embeddings.LayerNorm.gamma", {2}},
        {"embeddings.position_ids", {1}},
        {"cls.predictions.bias", {5}}});
  const PretrainedReport report = load();
  EXPECT_EQ(values(kWords), named_values("embeddings.word_embeddings.weight", 10));
  EXPECT_EQ(values(kNorm), named_values("embeddings.LayerNorm.gamma", 2));
  EXPECT_EQ(values("classifier.weight"), std::vector<float>(6, -1.f));
  EXPECT_EQ(report.missing, (std::vector<std::string>{"bert.pooler.dense.bias", "classifier.weight"}));
  EXPECT_EQ(report.unexpected, std::vector<std::string>{"cls.predictions.bias"});
  EXPECT_EQ(report.sha256.at("model.safetensors"), data::sha256_file(folder_ / "model.safetensors"));
  EXPECT_TRUE(store_[kWords].value.is_leaf());
  expect_refused([&] { load({.allow_new_head = false}); },
                 {"lack 2 tensors", "bert.pooler.dense.bias, classifier.weight", "this task's head"});
}

TEST_F(PretrainedTest, RefusesWrongShapesWithBoth) {
  const std::vector<NamedShape> head{
      {kWords, {5, 2}}, {kNorm, {2}}, {"bert.pooler.dense.bias", {2}}, {"classifier.weight", {4, 2}}};
  file(head);
  expect_refused([&] { load(); }, {"model.safetensors: classifier.weight is [4, 2] in the file, expected [3, 2]: the data has 3 "
                                   "labels, this model was trained for 4"});
  const PretrainedReport report = load({.ignore_mismatched_sizes = true});
  EXPECT_EQ(report.missing, std::vector<std::string>{"classifier.weight"});
  EXPECT_EQ(report.mismatched, std::vector<std::string>{"classifier.weight: [4, 2] in the file, [3, 2] in the model"});
  EXPECT_TRUE(report.unexpected.empty());
  file({{kWords, {6, 2}}, {kNorm, {2}}});
  expect_refused([&] { load({.ignore_mismatched_sizes = true}); },
                 {"[6, 2] in the file, expected [5, 2]: config.json says vocab_size 5, the weights have 6 tokens"});
}

TEST_F(PretrainedTest, RefusesAnotherModelsWeights) {
  file({{"roberta.embeddings.word_embeddings.weight", {5, 2}}});
  expect_refused([&] { load(); }, {"lack 2 tensors that the model needs", kWords});
}

TEST_F(PretrainedTest, RefusesValuesThatAreNotFinite) {
  std::string bytes = safetensors_bytes({{kWords, {5, 2}}, {kNorm, {2}}});
  bytes.replace(bytes.size() - 4, 4, std::string("\0\0\xc0\x7f", 4));
  write_bytes(folder_ / "model.safetensors", bytes);
  expect_refused([&] { load(); }, {kWords, "holds nan at element 9"});
}

}  // namespace
}  // namespace berth::train
