#include "trainer/use/load_model.h"

#include <gtest/gtest.h>

#include "tests/support/temp_dir.h"
#include "tests/trainer/run/tiny_run.h"
#include "trainer/tasks/instance.h"
#include "trainer/use/pretrained.h"

namespace berth::train {
namespace {

class LoadModelTest : public TinyRun {
 protected:
  // The tiny model with the head of a task and these labels, as a run would leave it.
  std::string write(const std::string& name, data::TaskKind kind, std::vector<std::string> labels) {
    BertConfig config = load_config(*files_ / "model");
    find_task(kind).configure(config, labels);
    ModelInstance model(config, kind, *comm_);
    model.initialize(7);
    const auto tokenizer = data::BertTokenizer::load(*files_ / "model");
    std::filesystem::create_directories(folder_ / name);
    save_pretrained(folder_ / name, model.config(), model.architecture().name, model.parameters(),
                    [&](const std::filesystem::path& to) { return tokenizer.save(to, 64); });
    return (folder_ / name).string();
  }
  LoadedModel load(const std::string& folder, const PrecisionOptions& precision = {}) {
    return load_models({folder}, precision, *comm_)[0];
  }
  std::unique_ptr<data::Dataset> dataset() { return data::Dataset::open(*files_ / "data.h5"); }
};

TEST_F(LoadModelTest, KnowsTheTaskFromTheFolder) {
  using Kind = data::TaskKind;
  for (const auto& [name, kind, labels] :
       {std::tuple("classes", Kind::kSequenceClassification, std::vector<std::string>{"a", "b", "c"}),
        std::tuple("number", Kind::kRegression, std::vector<std::string>{}),
        std::tuple("topics", Kind::kMultiLabel, std::vector<std::string>{"a", "b"}),
        std::tuple("tags", Kind::kTokenClassification, std::vector<std::string>{"O", "B-X"}),
        std::tuple("answers", Kind::kQuestionAnswering, std::vector<std::string>{}),
        std::tuple("words", Kind::kMaskedLm, std::vector<std::string>{})}) {
    const LoadedModel loaded = load(write(name, kind, labels));
    EXPECT_EQ(loaded.kind(), kind) << name;
    if (!labels.empty()) {
      EXPECT_EQ(loaded.config().label_names, labels) << name;
    }
    EXPECT_EQ(loaded.tokenizer->vocab().size(), load_config(*files_ / "model").vocab_size);
  }
}

// transformers' own class without a problem_type: of one label a regression.
TEST_F(LoadModelTest, TakesAPlainFolderAsTransformersDoes) {
  for (const auto& [labels, kind] :
       {std::pair(std::vector<std::string>{"LABEL_0"}, data::TaskKind::kRegression),
        std::pair(std::vector<std::string>{"LABEL_0", "LABEL_1"}, data::TaskKind::kSequenceClassification)}) {
    const std::string folder = write("plain" + std::to_string(labels.size()), kind, labels);
    auto config = nlohmann::ordered_json::parse(test::read_bytes(folder + "/config.json"));
    EXPECT_EQ(config.erase("problem_type"), 1u);
    test::write_bytes(folder + "/config.json", config.dump());
    EXPECT_EQ(load(folder).kind(), kind);
  }
}

TEST_F(LoadModelTest, InBf16TheParametersHaveTheirCopy) {
  const std::string folder = write("m", data::TaskKind::kSequenceClassification, {"negative", "positive"});
  const LoadedModel rounded = load(folder, {.bf16 = true}), exact = load(folder);
  const auto weight = [](const LoadedModel& loaded) { return loaded.model->parameters()["classifier.weight"]; };
  EXPECT_TRUE(weight(rounded).compute_value.to(at::kFloat).equal(weight(rounded).value.to(at::kBFloat16).to(at::kFloat)));
  EXPECT_TRUE(weight(exact).compute_value.is_alias_of(weight(exact).value));
}

TEST_F(LoadModelTest, SeveralModelsMustBeAbleToAnswerTogether) {
  const std::string a = write("a", data::TaskKind::kSequenceClassification, {"negative", "positive"}),
                    b = write("b", data::TaskKind::kSequenceClassification, {"no", "yes"}),
                    c = write("c", data::TaskKind::kMultiLabel, {"negative", "positive"});
  EXPECT_EQ(load_models({a, a}, {}, *comm_).size(), 2u);
  for (const std::string& other : {b, c}) {
    const Outcome refused = outcome_of([&] { load_models({a, other}, {}, *comm_); });
    EXPECT_EQ(refused.code, ExitCode::kBadInput);
    EXPECT_NE(refused.message.find(other), std::string::npos) << refused.message;
    EXPECT_NE(refused.message.find("cannot be averaged"), std::string::npos) << refused.message;
  }
}

TEST_F(LoadModelTest, AModelForADataSetHasItsVocabularyAndLabels) {
  const auto data = dataset();
  const std::string fits = write("fits", data::TaskKind::kSequenceClassification, {"negative", "positive"}),
                    labels = write("labels", data::TaskKind::kSequenceClassification, {"no", "yes"});
  EXPECT_EQ(load_model_for(*data, fits, {}, *comm_).kind(), data::TaskKind::kSequenceClassification);
  const Outcome other = outcome_of([&] { load_model_for(*data, labels, {}, *comm_); });
  EXPECT_EQ(other.code, ExitCode::kBadInput);
  EXPECT_NE(other.message.find("labels"), std::string::npos) << other.message;

  std::string vocab = test::read_bytes(fits + "/vocab.txt");
  test::write_bytes(fits + "/vocab.txt", vocab.replace(vocab.find("ban\n"), 4, "bbb\n"));
  const Outcome vocabulary = outcome_of([&] { load_model_for(*data, fits, {}, *comm_); });
  EXPECT_EQ(vocabulary.code, ExitCode::kBadInput);
  EXPECT_NE(vocabulary.message.find("vocabulary"), std::string::npos) << vocabulary.message;
}

TEST_F(LoadModelTest, AFolderThatIsNoFineTunedModelIsBadInput) {
  const std::string folder = write("m", data::TaskKind::kSequenceClassification, {"negative", "positive"});
  std::string config = test::read_bytes(folder + "/config.json");
  const std::string name = "BertForSequenceClassification";
  test::write_bytes(folder + "/config.json", config.replace(config.find(name), name.size(), "BertModel"));
  EXPECT_EQ(outcome_of([&] { load(folder); }).code, ExitCode::kBadInput);
  EXPECT_EQ(outcome_of([&] { load((folder_ / "missing/model").string()); }).code, ExitCode::kBadInput);
  std::filesystem::create_directories(folder_ / "run/checkpoint-8");
  const auto unfinished = outcome_of([&] { load((folder_ / "run").string()); });
  EXPECT_NE(unfinished.message.find("has not ended"), std::string::npos) << unfinished.message;
  EXPECT_NE(unfinished.message.find("run/checkpoint-8"), std::string::npos) << unfinished.message;
}

TEST_F(LoadModelTest, TheTokenizerIsSharedAsItIs) {
  const data::BertTokenizer tokenizer = share_tokenizer(*files_ / "model", *comm_);
  EXPECT_EQ(tokenizer.vocab().sha256(), data::BertTokenizer::load(*files_ / "model").vocab().sha256());
}

}  // namespace
}  // namespace berth::train
