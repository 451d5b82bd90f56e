#include "trainer/checkpoint/model_weights.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/trainer/checkpoint/tensor_test_util.h"
#include "trainer/checkpoint/hf_names.h"
#include "trainer/checkpoint/model_path.h"

namespace berth::train {
namespace {

TEST(HfNames, OneNameForEveryTensorOfEveryKindOfFile) {
  const struct {
    std::string in_file, ours;
    bool redundant;
    std::string family = "Bert";
  } cases[] = {
      {"encoder.layer.0.attention.self.query.weight", "bert.encoder.layer.0.attention.self.query.weight", false},
      {"bert.encoder.layer.0.attention.self.query.weight", "bert.encoder.layer.0.attention.self.query.weight", false},
      {"embeddings.LayerNorm.gamma", "bert.embeddings.LayerNorm.weight", false},
      {"module.bert.embeddings.LayerNorm.beta", "bert.embeddings.LayerNorm.bias", false},
      {"module._orig_mod.pooler.dense.bias", "bert.pooler.dense.bias", false},
      {"_orig_mod.classifier.weight", "classifier.weight", false},
      {"embeddings.position_ids", "bert.embeddings.position_ids", true},
      {"cls.predictions.transform.LayerNorm.gamma", "cls.predictions.transform.LayerNorm.weight", false},
      {"cls.predictions.bias", "cls.predictions.bias", false},
      {"cls.predictions.decoder.bias", "cls.predictions.bias", true},
      {"cls.predictions.decoder.weight", "cls.predictions.decoder.weight", true},
      {"qa_outputs.weight", "qa_outputs.weight", false},
      {"classifier.dense.weight", "classifier.dense.weight", false},
      {"module.distilbert.transformer.layer.1.ffn.lin2.bias", "bert.encoder.layer.1.output.dense.bias", false, "DistilBert"},
      {"transformer.layer.0.attention.out_lin.weight", "bert.encoder.layer.0.attention.output.dense.weight", false, "DistilBert"},
      {"embeddings.LayerNorm.weight", "bert.embeddings.LayerNorm.weight", false, "DistilBert"},
      {"vocab_projector.weight", "cls.predictions.decoder.weight", true, "DistilBert"},
      {"electra.embeddings.position_ids", "bert.embeddings.position_ids", true, "Electra"},
      {"embeddings_project.bias", "bert.embeddings.project.bias", false, "Electra"},
      {"classifier.dense.weight", "bert.pooler.dense.weight", false, "Electra"},
      {"classifier.out_proj.weight", "classifier.out_proj.weight", false, "Electra"},
      {"discriminator_predictions.dense.weight", "discriminator_predictions.dense.weight", false, "Electra"},
  };
  for (const auto& c : cases) {
    const CanonicalName name = canonical_name(c.in_file, c.family);
    EXPECT_EQ(name.name, c.ours);
    EXPECT_EQ(name.redundant, c.redundant) << c.in_file;
  }
}

TEST(HfNames, ABareModelIsSavedWithoutPrefixAndReadBack) {
  for (const char* name :
       {"bert.embeddings.word_embeddings.weight", "bert.encoder.layer.3.output.LayerNorm.weight", "bert.pooler.dense.bias"}) {
    EXPECT_EQ("bert." + name_in_file(name, "BertModel"), name);
    EXPECT_EQ(canonical_name(name_in_file(name, "BertModel"), "Bert").name, name);
    EXPECT_EQ(name_in_file(name, "BertForSequenceClassification"), name);
    for (const char* relative : {"DistilBertModel", "ElectraModel"})
      EXPECT_EQ(
          canonical_name(name_in_file(name, relative), std::string(relative).substr(0, std::string(relative).size() - 5)).name,
          name);
  }
}

class ModelWeightsTest : public ::testing::Test {
 protected:
  void shard(const std::string& file, const std::vector<NamedShape>& tensors) {
    write_bytes(folder_ / file, safetensors_bytes(tensors));
  }
  void index(const std::string& weight_map) {
    write_bytes(folder_ / "model.safetensors.index.json", R"({"weight_map":)" + weight_map + "}");
  }
  ModelWeights open() { return ModelWeights::open(folder_.path(), "Bert"); }
  std::vector<float> values(const ModelWeights& weights, const std::string& name) {
    const ModelWeights::Entry& entry = weights.tensors().at(name);
    std::vector<float> out(static_cast<size_t>(*element_count(entry.tensor->shape)));
    weights.read_f32(entry, out);
    return out;
  }
  TempDir folder_;
};

TEST_F(ModelWeightsTest, ReadsShards) {
  shard("model-00001-of-00002.safetensors", {{"embeddings.LayerNorm.gamma", {3}}});
  shard("model-00002-of-00002.safetensors", {{"classifier.bias", {2}}, {"embeddings.position_ids", {1}}});
  index(
      R"({"embeddings.LayerNorm.gamma":"model-00001-of-00002.safetensors","classifier.bias":"model-00002-of-00002.safetensors"})");
  const ModelWeights weights = open();
  EXPECT_EQ(weights.files().size(), 2u);
  EXPECT_EQ(values(weights, "bert.embeddings.LayerNorm.weight"), named_values("embeddings.LayerNorm.gamma", 3));
  EXPECT_EQ(values(weights, "classifier.bias"), named_values("classifier.bias", 2));
}

TEST_F(ModelWeightsTest, RefusesWhatIsWrongWithShards) {
  shard("one.safetensors", {{"x", {1}}});
  index(R"({"x":"one.safetensors","y":"two.safetensors"})");
  expect_refused([&] { open(); }, {"two.safetensors", "shard is missing"});
  index(R"({"x":"one.safetensors","y":"one.safetensors"})");
  expect_refused([&] { open(); }, {"one.safetensors", "lacks the tensor y"});
  for (const char* outside : {"../one.safetensors", "/etc/passwd", "..", "", "a/b"}) {
    index(R"({"x":")" + std::string(outside) + "\"}");
    expect_refused([&] { open(); }, {"index.json", "a shard must be a file of the same folder"});
  }
  index("[]");
  expect_refused([&] { open(); }, {"weight_map"});
  shard("two.safetensors", {{"x", {1}}});
  index(R"({"x":"one.safetensors","z":"two.safetensors"})");
  expect_refused([&] { open(); }, {"are the same parameter x"});
}

TEST_F(ModelWeightsTest, ASecondCopyOfATiedTensorYields) {
  shard("model.safetensors", {{"cls.predictions.bias", {2}}, {"cls.predictions.decoder.bias", {2}}});
  EXPECT_EQ(open().tensors().at("cls.predictions.bias").in_file, "cls.predictions.bias");
  shard("model.safetensors", {{"cls.predictions.decoder.bias", {2}}});
  EXPECT_EQ(open().tensors().at("cls.predictions.bias").in_file, "cls.predictions.decoder.bias");
  shard("model.safetensors", {{"embeddings.LayerNorm.gamma", {2}}, {"bert.embeddings.LayerNorm.weight", {2}}});
  expect_refused([&] { open(); }, {"same parameter bert.embeddings.LayerNorm.weight"});
}

TEST_F(ModelWeightsTest, ReadsPytorchModelBin) {
  write_bytes(folder_ / "pytorch_model.bin", read_bytes(golden("module.bin")));
  EXPECT_EQ(values(open(), "0.weight"), named_values("0.weight", 6));
}

TEST_F(ModelWeightsTest, SaysWhatIsThereInstead) {
  expect_refused([&] { open(); }, {folder_.path().string(), "has no model.safetensors"});
  write_bytes(folder_ / "flax_model.msgpack", "x");
  expect_refused([&] { open(); }, {"it has flax_model.msgpack, which berth does not read"});
  expect_refused([&] { ModelWeights::open(folder_ / "nowhere", "Bert"); }, {"nowhere", "is not a folder"});
}

// --model, with all caches of this process's environment inside a temporary folder.
class ModelPathTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"}) ::unsetenv(name);
    ::setenv("HOME", folder_.path().c_str(), 1);
  }
  void cache_model(const std::string& cache, const std::string& name, const std::string& commit) {
    write_bytes(folder_ / cache / name / "refs/main", commit);
    write_bytes(folder_ / cache / name / "snapshots" / commit / "config.json", "{}");
  }
  TempDir folder_;
};

TEST_F(ModelPathTest, AFolderIsTakenAsItIs) {
  EXPECT_EQ(resolve_model(folder_.path().string()), folder_.path());
  expect_refused([&] { resolve_model("/no/such/folder"); }, {"no model folder /no/such/folder"});
  write_bytes(folder_ / "model.safetensors", "x");
  expect_refused([&] { resolve_model((folder_ / "model.safetensors").string()); }, {"is a file; --model takes the folder"});
}

TEST_F(ModelPathTest, FindsNamesInEveryCache) {
  cache_model(".cache/huggingface/hub", "models--bert-base-uncased", "abc123");
  EXPECT_EQ(resolve_model("bert-base-uncased"), folder_ / ".cache/huggingface/hub/models--bert-base-uncased/snapshots/abc123");
  cache_model("home/hub", "models--org--tiny", "c1");
  ::setenv("HF_HOME", (folder_ / "home").c_str(), 1);
  EXPECT_EQ(resolve_model("org/tiny"), folder_ / "home/hub/models--org--tiny/snapshots/c1");
  cache_model("direct", "models--org--tiny", "c2");
  ::setenv("HF_HUB_CACHE", (folder_ / "direct").c_str(), 1);
  EXPECT_EQ(resolve_model("org/tiny"), folder_ / "direct/models--org--tiny/snapshots/c2");
}

TEST_F(ModelPathTest, TheErrorSaysWhereItLookedAndWhatIsThere) {
  cache_model(".cache/huggingface/hub", "models--google-bert--bert-base-cased", "abc");
  expect_refused([&] { resolve_model("google-bert/bert-base-uncased"); },
                 {"no model google-bert/bert-base-uncased", ".cache/huggingface/hub",
                  "nearest there: google-bert/bert-base-cased", "hf download"});
  expect_refused([&] { resolve_model("../../etc"); }, {"no model folder"});
  write_bytes(folder_ / ".cache/huggingface/hub/models--a--b/refs/main", "../../../etc");
  expect_refused([&] { resolve_model("a/b"); }, {"refs/main", "does not hold a commit"});
  write_bytes(folder_ / ".cache/huggingface/hub/models--a--b/refs/main", "abc\n");
  expect_refused([&] { resolve_model("a/b"); }, {"no usable snapshot"});
}

}  // namespace
}  // namespace berth::train
