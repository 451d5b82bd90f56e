#include "trainer/use/pretrained.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "data/files/sha256.h"
#include "tests/trainer/checkpoint/tensor_test_util.h"
#include "trainer/use/load_model.h"

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
  TempDir folder_;
  std::unique_ptr<comm::Communicator> comm_;
  ParameterStore store_;
};

TEST_F(PretrainedTest, FillsTheEncoderAndReportsTheRest) {
  file({{"embeddings.word_embeddings.weight", {5, 2}},
        {"embeddings.LayerNorm.gamma", {2}},
        {"embeddings.position_ids", {1}},
        {"cls.predictions.bias", {5}}});
  const PretrainedReport report = load({.with_digests = true});
  EXPECT_EQ(values(kWords), named_values("embeddings.word_embeddings.weight", 10));
  EXPECT_EQ(values(kNorm), named_values("embeddings.LayerNorm.gamma", 2));
  EXPECT_EQ(values("classifier.weight"), std::vector<float>(6, -1.f));
  EXPECT_EQ(report.missing, (std::vector<std::string>{"bert.pooler.dense.bias", "classifier.weight"}));
  EXPECT_EQ(report.unexpected, std::vector<std::string>{"cls.predictions.bias"});
  EXPECT_EQ(report.sha256.at("model.safetensors"), data::sha256_file(folder_ / "model.safetensors"));
  EXPECT_TRUE(store_[kWords].value.is_leaf());
  std::vector<std::string> initialized;
  load({.initialize = [&](const std::string& parameter) { initialized.push_back(parameter); }});
  EXPECT_EQ(initialized, report.missing);
  expect_refused([&] { load({.allow_new_head = false}); },
                 {"model.safetensors: lacks 2 tensors", "bert.pooler.dense.bias, classifier.weight", "this task's head"});
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
  expect_refused([&] { load(); }, {"model.safetensors: lacks 2 tensors that the model needs", kWords});
}

// Names and shapes are enough for it: no model of 16 TB is made first.
TEST_F(PretrainedTest, SizesAreBelievedIfTheWeightsHaveThem) {
  const auto check_sizes = [&](const std::vector<int64_t>& words, PretrainedOptions options = {}) {
    check_pretrained(folder_.path(), {{kWords, words}, {"classifier.weight", {3, 2}}}, *comm_, options);
  };
  file({{kWords, {5, 2}}, {"classifier.weight", {4, 2}}});
  expect_refused([&] { check_sizes({1 << 26, 65536}); }, {"model.safetensors", "[5, 2] in the file, expected [67108864, 65536]"});
  expect_refused([&] { check_sizes({5, 2}); }, {"model.safetensors: classifier.weight is [4, 2]"});
  check_sizes({5, 2}, {.ignore_mismatched_sizes = true});
  file({{kWords, {5, 2}}});
  check_sizes({5, 2});
  expect_refused([&] { check_sizes({5, 2}, {.allow_new_head = false}); }, {"lacks 1 tensor", "classifier.weight"});
}

TEST_F(PretrainedTest, RefusesValuesThatAreNotFinite) {
  std::string bytes = safetensors_bytes({{kWords, {5, 2}}, {kNorm, {2}}});
  bytes.replace(bytes.size() - 4, 4, std::string("\0\0\xc0\x7f", 4));
  write_bytes(folder_ / "model.safetensors", bytes);
  expect_refused([&] { load(); }, {kWords, "holds nan at element 9"});
}

BertConfig tiny_config() {
  BertConfig config;
  config.vocab_size = 5;
  config.hidden_size = 2;
  config.num_hidden_layers = config.num_attention_heads = config.intermediate_size = 1;
  config.label_names = {"no", "yes", "perhaps"};
  return config;
}

void fill(ParameterStore& store) {
  at::NoGradGuard no_grad;
  for (Parameter& parameter : store.parameters()) {
    const auto values = named_values(parameter.name, parameter.value.numel());
    parameter.value.copy_(at::tensor(values).view(parameter.value.sizes()));
  }
}

TEST_F(PretrainedTest, SavesWhatItLoads) {
  fill(store_);
  const auto write_tokenizer = [](const std::filesystem::path& folder) {
    return std::vector{data::write_durably(folder / "vocab.txt", "[PAD]\n")};
  };
  const auto files = save_pretrained(folder_ / "run", tiny_config(), "BertForSequenceClassification", store_, write_tokenizer);
  ASSERT_EQ(files.size(), 3u);
  for (const data::FileDigest& file : files) {
    EXPECT_EQ(file.sha256, data::sha256_file(folder_ / "run" / file.name));
    EXPECT_EQ(file.size, std::filesystem::file_size(folder_ / "run" / file.name));
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_ / "run"), {}), 3);
  EXPECT_EQ(load_config(folder_ / "run").label_names, tiny_config().label_names);

  {
    at::NoGradGuard no_grad;
    for (Bucket& bucket : store_.buckets()) bucket.values.fill_(-1);
  }
  const PretrainedReport report = load_pretrained(folder_ / "run", store_, *comm_, {.allow_new_head = false});
  EXPECT_TRUE(report.missing.empty() && report.unexpected.empty());
  for (const Parameter& parameter : store_.parameters())
    EXPECT_EQ(values(parameter.name), named_values(parameter.name, parameter.value.numel()));
}

TEST_F(PretrainedTest, ABareModelIsSavedUnderItsOwnNames) {
  fill(store_);
  save_pretrained(folder_.path(), tiny_config(), "BertModel", store_,
                  [](const auto&) { return std::vector<data::FileDigest>(); });
  const TensorFile file = parse_safetensors(open_bytes(folder_ / "model.safetensors"));
  EXPECT_EQ(read_values(file, "embeddings.word_embeddings.weight"), named_values(kWords, 10));
  EXPECT_EQ(file.find(kWords), nullptr);
  EXPECT_TRUE(load().missing.empty());
}

TEST_F(PretrainedTest, AFailingTokenizerLeavesNothingBehind) {
  expect_refused(
      [&] {
        save_pretrained(folder_ / "run", tiny_config(), "BertModel", store_,
                        [](const auto&) -> std::vector<data::FileDigest> { fail(ExitCode::kBadInput, "no vocabulary"); });
      },
      {"no vocabulary"});
  EXPECT_TRUE(std::filesystem::is_empty(folder_ / "run"));
}

class NamedTensorsTest : public ::testing::Test {
 protected:
  void save(const NamedTensors& tensors) {
    std::string bytes;
    write_safetensors(HostTensors(tensors).views(), [&](std::string_view piece) { bytes += piece; });
    write_bytes(file_, bytes);
  }
  void load(const NamedTensors& tensors) { load_named_tensors(file_, tensors, *comm_); }
  TempDir folder_;
  std::filesystem::path file_ = folder_ / "optimizer.safetensors";
  std::unique_ptr<comm::Communicator> comm_ = comm::make_local_communicator();
};

TEST_F(NamedTensorsTest, ComeBackBitForBit) {
  const at::Tensor flat = at::tensor(std::vector<float>{1e-45f, -0.f, 3.1f, std::nanf("3"), 5.f, 6.f});
  save({{"exp_avg.a", flat.narrow(0, 0, 4).view({2, 2})}, {"exp_avg.b", flat.narrow(0, 4, 2)}});
  const at::Tensor back = at::zeros({6});
  load({{"exp_avg.b", back.narrow(0, 4, 2)}, {"exp_avg.a", back.narrow(0, 0, 4).view({2, 2})}});
  EXPECT_EQ(std::memcmp(back.const_data_ptr(), flat.const_data_ptr(), flat.nbytes()), 0);
}

TEST_F(NamedTensorsTest, OtherTensorsAreRefused) {
  save({{"a", at::ones({2, 2})}, {"b", at::ones({1})}});
  expect_refused([&] { load({{"a", at::ones({2, 2})}}); }, {"holds 2 tensors, this model has 1"});
  expect_refused([&] { load({{"a", at::ones({4})}, {"b", at::ones({1})}}); }, {"a is [2, 2] in the file, expected [4]"});
  expect_refused([&] { load({{"a", at::ones({2, 2})}, {"c", at::ones({1})}}); }, {"lacks c"});
}

TEST(LoadConfig, NamesAMissingFile) {
  expect_refused([] { load_config("/nonexistent"); }, {"/nonexistent/config.json"});
}

}  // namespace
}  // namespace berth::train
