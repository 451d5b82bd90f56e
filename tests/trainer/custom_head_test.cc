// Custom heads: logits, loss and every gradient against the classes that are saved with them (tests/golden/custom_head_golden.py), and
// their part of config.json.
#include "trainer/model/custom_head.h"

#include <gtest/gtest.h>

#include "tests/support/golden.h"
#include "tests/support/temp_dir.h"
#include "trainer/model/heads.h"
#include "trainer/use/pretrained.h"

namespace berth::train {
namespace {

using nlohmann::json;
using test::read_bytes;
using test::TempDir;

const json& meta() {
  static const auto all = json::parse(test::read_golden("custom_head.json"));
  return all;
}

std::string config_of(const std::string& name) {
  json config = meta()["config"];
  config.update(meta()["cases"][name]["config"]);
  return config.dump();
}

class CustomHeads : public testing::TestWithParam<std::string> {};

TEST_P(CustomHeads, LogitsLossAndEveryGradientEqualTransformers) {
  static const test::TensorMap golden = test::load_golden("custom_head.safetensors");
  const std::string name = GetParam(), task_name = meta()["cases"][name]["task"];
  const auto parts = test::under(golden, name + "."), weights = test::under(parts, "parameter.");
  const data::TaskKind task = data::find_task(task_name).kind;
  const BertConfig config = BertConfig::parse(config_of(name), name);
  EXPECT_FALSE(config.head.is_standard());
  const auto comm = comm::make_local_communicator();
  ParameterStore store(architecture_of(task).parameters(config, true), *comm, 1 << 14);
  ASSERT_EQ(weights.size(), store.parameters().size());
  {
    const at::NoGradGuard no_grad;
    for (Parameter& parameter : store.parameters()) parameter.value.copy_(weights.at(parameter.name));
  }
  const auto model = architecture_of(task).make(config, store);
  const data::Batch host = test::golden_batch(test::under(parts, "batch."));
  const DeviceBatch batch = to_device(host, at::kCPU);
  const auto logits = model->logits(batch, {});
  const at::Tensor loss = (model->loss_sums(logits, batch) / at::tensor(model->target_weights(host)).to(at::kFloat)).sum();
  loss.backward();
  EXPECT_NEAR(loss.item<double>(), parts.at("loss").item<double>(), 2e-5 * std::abs(loss.item<double>()));
  EXPECT_LT(test::relative_error(logits[0], parts.at("logits")), 2e-5);
  for (const Parameter& parameter : store.parameters())
    EXPECT_LT(test::relative_error(parameter.grad, parts.at("grad." + parameter.name), 1e-2), 2e-5) << parameter.name;

  const TempDir folder;
  save_pretrained(folder.path(), config, architecture_of(task).name, store,
                  [](const auto&) { return std::vector<data::FileDigest>(); });
  const auto saved = json::parse(read_bytes(folder / "config.json"));
  EXPECT_EQ(saved["architectures"][0], custom_class(architecture_of(task).name));
  for (const auto& [key, value] : meta()["cases"][name]["config"].items())
    if (key != "id2label" && key != "label2id") {
      EXPECT_EQ(saved[key], value) << key;
    }
  EXPECT_NE(read_bytes(folder / kModelingFile).find("class BerthForSequenceClassification"), std::string::npos);
  EXPECT_EQ(BertConfig::parse(saved.dump(), name).head.hidden_sizes, config.head.hidden_sizes);
  const PretrainedReport report = load_pretrained(folder.path(), store, *comm, {.allow_new_head = false});
  EXPECT_TRUE(report.missing.empty() && report.unexpected.empty());
}
INSTANTIATE_TEST_SUITE_P(Cases, CustomHeads, testing::Values("mean", "max", "cls", "pooler", "tokens"),
                         [](const auto& i) { return i.param; });

TEST(CustomHeadConfig, TheStandardHeadLeavesNothingBehind) {
  const std::string plain = meta()["config"].dump();
  const BertConfig standard = BertConfig::parse(plain, "plain");
  EXPECT_TRUE(standard.head.is_standard());
  const std::string written = standard.to_json("BertForSequenceClassification");
  BertConfig changed = standard;
  changed.head = {.hidden_sizes = {8}, .pooling = TextPooling::kMax};
  BertConfig back = BertConfig::parse(changed.to_json("BertForSequenceClassification"), "changed");
  EXPECT_EQ(back.head.hidden_sizes, std::vector<int64_t>{8});
  EXPECT_EQ(back.head.pooling, TextPooling::kMax);
  back.head = {};
  EXPECT_EQ(back.to_json("BertForSequenceClassification"), written);
}

TEST(CustomHeadConfig, WhatIsNoHeadIsRefused) {
  const auto refused = [](const char* key, const json& value) {
    json config = json::parse(config_of("mean"));
    if (value.is_discarded())
      config.erase(key);
    else
      config[key] = value;
    try {
      BertConfig::parse(config.dump(), "here");
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kBadInput);
      EXPECT_EQ(std::string(error.what()).substr(0, 6), "here: ") << error.what();
      return std::string(error.what()).find(key) != std::string::npos;
    }
    return false;
  };
  const json absent(json::value_t::discarded);
  for (const char* key : {"head_hidden_sizes", "head_dropout", "head_activation", "pooling"}) {
    EXPECT_TRUE(refused(key, absent)) << key;
    EXPECT_TRUE(refused(key, nullptr)) << key;
    EXPECT_TRUE(refused(key, json::object())) << key;
  }
  for (const json& sizes : {json{0}, json{-1}, json{1 << 17}, json{1.5}, json{"8"}, json(std::vector<int>(17, 8))})
    EXPECT_TRUE(refused("head_hidden_sizes", sizes)) << sizes;
  EXPECT_TRUE(refused("head_dropout", 1));
  EXPECT_TRUE(refused("head_activation", "swish"));
  EXPECT_TRUE(refused("pooling", "median"));
  for (const std::vector<std::string>& sizes :
       std::vector<std::vector<std::string>>{{"x"}, {"8", ""}, {"0"}, {"99999999999999999999"}, {"8", "none"}})
    EXPECT_THROW(parse_hidden_sizes(sizes), Error);
  EXPECT_EQ(parse_hidden_sizes({"none"}), std::vector<int64_t>{});
}

}  // namespace
}  // namespace berth::train
