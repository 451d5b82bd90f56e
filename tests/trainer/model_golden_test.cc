// Logits, loss and every gradient against transformers (tests/golden/model_golden.py, sequences_golden.py).
#include <gtest/gtest.h>

#include <set>

#include "tests/support/golden.h"
#include "tests/trainer/checkpoint/tensor_test_util.h"
#include "trainer/checkpoint/hf_names.h"
#include "trainer/model/heads.h"
#include "trainer/use/pretrained.h"

namespace berth::train {
namespace {

using data::TaskKind;

const std::map<std::string, TaskKind> kTasks = {
    {"sequence-classification", TaskKind::kSequenceClassification},
    {"regression", TaskKind::kRegression},
    {"multi-label", TaskKind::kMultiLabel},
    {"token-classification", TaskKind::kTokenClassification},
    {"question-answering", TaskKind::kQuestionAnswering},
    {"multiple-choice", TaskKind::kMultipleChoice},
    {"next-sentence-prediction", TaskKind::kNextSentencePrediction},
    {"masked-lm", TaskKind::kMaskedLm},
    {"pretraining", TaskKind::kPretraining},
};

// What model_golden.py wrote of BERT ("model") or a relative, or sequences_golden.py.
struct Golden {
  nlohmann::json meta;
  test::TensorMap tensors;
};
const Golden& golden(const std::string& family) {
  static std::map<std::string, Golden> all;
  const auto [entry, is_new] = all.try_emplace(family);
  if (is_new)
    entry->second = {nlohmann::json::parse(test::read_golden(family + ".json")), test::load_golden(family + ".safetensors")};
  return entry->second;
}

struct Case {
  explicit Case(const std::string& name, const std::string& family = "model")
      : info(golden(family).meta["cases"][name]), parts(test::under(golden(family).tensors, name + ".")) {
    nlohmann::json json = golden(family).meta["config"];
    json.update(info["config"]);
    config = BertConfig::parse(json.dump(), name);
    task = kTasks.at(info["task"]);
    class_name = config.class_name(architecture_of(task).name);
    store = std::make_unique<ParameterStore>(architecture_of(task).parameters(config, true), *comm, 1 << 14);
    auto weights = test::under(golden(family).tensors, "encoder.");
    weights.merge(test::under(parts, "parameter."));
    EXPECT_EQ(weights.size(), store->parameters().size());
    EXPECT_EQ(class_name, info["architecture"].get<std::string>());
    at::NoGradGuard no_grad;
    for (Parameter& parameter : store->parameters()) parameter.value.copy_(weights.at(name_of(parameter)));
    model = architecture_of(task).make(config, *store);
    model->set_loss({.label_smoothing = smoothing});
  }

  std::string name_of(const Parameter& parameter) const { return name_in_file(parameter.name, class_name); }

  // (loss, logits), gradients in the store
  std::pair<at::Tensor, std::vector<at::Tensor>> run(const ForwardContext& context) {
    const data::Batch host = test::golden_batch(test::under(parts, "batch."));
    const DeviceBatch batch = to_device(host, at::kCPU);
    for (Bucket& bucket : store->buckets()) bucket.grads.zero_();
    const auto logits = model->logits(batch, context);
    const at::Tensor weights = at::tensor(model->target_weights(host)).to(at::kFloat);
    const at::Tensor loss = (model->loss_sums(logits, batch) / weights).sum();
    loss.backward();
    store->check_grads_are_views();
    return {loss, logits};
  }

  nlohmann::json info;
  double smoothing = info.value("label_smoothing", 0.0);
  test::TensorMap parts;
  BertConfig config;
  TaskKind task;
  std::string class_name;  // Hugging Face's
  std::unique_ptr<comm::Communicator> comm = comm::make_local_communicator();
  std::unique_ptr<ParameterStore> store;
  std::unique_ptr<Model> model;
};

// A family's file and a case in it.
class ModelGolden : public ::testing::TestWithParam<std::pair<std::string, std::string>> {
 protected:
  Case c{GetParam().second, GetParam().first};
};

void expect_matches(Case& c, const ForwardContext& context, double tolerance, double gradient_tolerance) {
  const auto [loss, logits] = c.run(context);
  EXPECT_NEAR(loss.item<double>(), c.parts.at("loss").item<double>(), tolerance * std::abs(loss.item<double>()));
  for (size_t i = 0; i < logits.size(); ++i)
    EXPECT_LT(test::relative_error(logits[i], c.parts.at(i ? "logits" + std::to_string(i + 1) : "logits")), tolerance) << i;
  for (const Parameter& parameter : c.store->parameters())
    // A key's bias has no influence on the softmax: its gradient is rounding noise around zero, hence the floor.
    EXPECT_LT(test::relative_error(parameter.grad, c.parts.at("grad." + c.name_of(parameter)), 1e-2), gradient_tolerance)
        << parameter.name;
}

TEST_P(ModelGolden, LogitsLossAndEveryGradientEqualTransformers) { expect_matches(c, {}, 2e-5, 2e-5); }

TEST_P(ModelGolden, CheckpointedLayersGiveTheSame) {
  ForwardContext context;
  context.gradient_checkpointing = true;
  expect_matches(c, context, 2e-5, 2e-5);
}

// With the very tensors that transformers' class has: a pooler or none.
TEST_P(ModelGolden, IsSavedAsTheClassHasItAndReadBack) {
  const Architecture& architecture = architecture_of(c.task);
  const TempDir folder;
  save_pretrained(folder.path(), c.config, architecture.name, *c.store,
                  [](const auto&) { return std::vector<data::FileDigest>(); });
  std::set<std::string> saved, expected;
  for (const TensorInfo& tensor : parse_safetensors(open_bytes(folder / "model.safetensors")).tensors) saved.insert(tensor.name);
  for (const auto& [name, gradient] : test::under(c.parts, "grad.")) expected.insert(name);
  EXPECT_EQ(saved, expected);
  const std::set<std::string> without{"BertForTokenClassification", "BertForQuestionAnswering", "BertForMaskedLM"};
  const bool pooler = c.config.family == &kBert && !without.contains(c.class_name);
  EXPECT_EQ(saved.contains("bert.pooler.dense.weight"), pooler);
  {
    at::NoGradGuard no_grad;
    for (Parameter& parameter : c.store->parameters()) parameter.value.zero_();
  }
  const PretrainedReport report =
      load_pretrained(folder.path(), *c.store, *c.comm, {.family = c.config.family->class_prefix, .allow_new_head = false});
  EXPECT_TRUE(report.missing.empty() && report.unexpected.empty());
  expect_matches(c, {}, 2e-5, 2e-5);
}

// From a class with a pooler to one without, and back.
TEST(ModelGoldenPooler, IsLeftOutOrNewlyMade) {
  Case with("classification"), without("tokens");
  const TempDir folder;
  save_pretrained(folder / "with", with.config, "BertForSequenceClassification", *with.store,
                  [](const auto&) { return std::vector<data::FileDigest>(); });
  save_pretrained(folder / "without", without.config, "BertForTokenClassification", *without.store,
                  [](const auto&) { return std::vector<data::FileDigest>(); });
  using Names = std::vector<std::string>;
  const Names pooler{"bert.pooler.dense.bias", "bert.pooler.dense.weight"};
  const auto sorted = [](Names names) {
    std::sort(names.begin(), names.end());
    return names;
  };
  const PretrainedReport left_out = load_pretrained(folder / "with", *without.store, *without.comm);
  EXPECT_EQ(left_out.missing, Names{});
  EXPECT_EQ(sorted(left_out.unexpected), pooler);
  const PretrainedReport made = load_pretrained(folder / "without", *with.store, *with.comm);
  EXPECT_EQ(sorted(made.missing), pooler);
  EXPECT_EQ(made.unexpected, Names{});
}

// torch's own losses of transformers' logits: CrossEntropyLoss with weight (and label_smoothing), BCEWithLogitsLoss with pos_weight.
TEST(ModelGoldenWeights, TheLossIsTorchsWeightedMean) {
  for (const char* name : {"classification", "smoothing", "tokens", "tokens_smoothing", "multi_label"}) {
    Case c(name);
    const std::vector<float> weights{0.25f, 4, 1.5f};
    c.model->set_loss({.label_smoothing = c.smoothing, .label_weights = weights});
    const auto [loss, logits] = c.run({});
    const at::Tensor of_labels = at::tensor(weights), their = c.parts.at("logits").to(at::kFloat);
    const auto their_loss = [&](const at::Tensor& x) {
      return c.task == TaskKind::kMultiLabel
                 ? at::binary_cross_entropy_with_logits(x, c.parts.at("batch.float_labels").view_as(x), {}, of_labels)
                 : at::cross_entropy_loss(x, c.parts.at("batch.labels"), of_labels, at::Reduction::Mean, -100, c.smoothing);
    };
    const double expected = their_loss(their).item<double>();
    EXPECT_NEAR(loss.item<double>(), expected, 2e-5 * expected) << name;
    EXPECT_GT(std::abs(expected - c.parts.at("loss").item<double>()), 1e-3 * expected) << name << ": the weights must matter";
    // The bias of the outputs takes the sum over rows of the gradient of the logits.
    const at::Tensor leaf = their.clone().set_requires_grad(true);
    their_loss(leaf).backward();
    EXPECT_LT(test::relative_error((*c.store)["classifier.bias"].grad, leaf.grad().sum(0)), 2e-5) << name;
  }
}

// What is trained on pairs alone begins where pretraining ended.
TEST(ModelGoldenNextSentence, TakesThePretrainersHead) {
  Case pretraining("pretraining"), alone("next_sentence", "sequences");
  const TempDir folder;
  save_pretrained(folder.path(), pretraining.config, "BertForPreTraining", *pretraining.store,
                  [](const auto&) { return std::vector<data::FileDigest>(); });
  EXPECT_TRUE(load_pretrained(folder.path(), *alone.store, *alone.comm, {.allow_new_head = false}).missing.empty());
  for (const Parameter& parameter : alone.store->parameters())
    EXPECT_TRUE(at::equal(parameter.value, (*pretraining.store)[parameter.name].value)) << parameter.name;
}

// With what the table of positions begins where it is not read from a file: as transformers makes it.
TEST(ModelGoldenPositions, ANewTableOfPositionsHoldsSinusoidsIfTheConfigSaysSo) {
  Case c("classification", "distilbert");
  c.store->initialize(architecture_of(c.task).parameters(c.config, true), c.config.initializer_range, 1);
  const at::Tensor expected = golden("distilbert").tensors.at("encoder.distilbert.embeddings.position_embeddings.weight");
  EXPECT_LT(test::relative_error((*c.store)["bert.embeddings.position_embeddings.weight"].value, expected), 1e-6);
}

std::vector<std::pair<std::string, std::string>> cases() {
  std::vector<std::pair<std::string, std::string>> all;
  for (const char* family : {"model", "sequences", "distilbert", "electra"})
    for (const auto& [name, info] : golden(family).meta["cases"].items()) all.emplace_back(family, name);
  return all;
}
INSTANTIATE_TEST_SUITE_P(Cases, ModelGolden, ::testing::ValuesIn(cases()),
                         [](const auto& i) { return i.param.first + "_" + i.param.second; });

}  // namespace
}  // namespace berth::train
