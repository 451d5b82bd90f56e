// Language models from text to predictions: the real program on real ranks.
#include <cmath>
#include <fstream>

#include "data/tokenizer/bert_tokenizer.h"
#include "tests/support/tiny_job.h"
#include "trainer/checkpoint/byte_source.h"
#include "trainer/checkpoint/safetensors.h"
#include "trainer/tasks/instance.h"
#include "trainer/use/pretrained.h"

namespace berth::test {
namespace {

namespace fs = std::filesystem;

// The texts of the tiny reviews as mlm.h5 (blocks) and pretraining.h5 (ten sentences a document).
class LanguageModelJob : public TinyJob {
 protected:
  static void SetUpTestSuite() {
    TinyJob::SetUpTestSuite();
    for (const char* name : {"train", "validation"}) {
      std::ifstream csv(at(std::string(name) + ".csv"));
      std::ofstream documents(at(std::string(name) + ".txt"));
      std::string line;
      std::getline(csv, line);
      for (int i = 1; std::getline(csv, line); ++i) documents << line.substr(0, line.find(',')) << (i % 10 == 0 ? "\n\n" : "\n");
    }
    for (const auto& [task, ending, options] :
         {std::array{"mlm", "csv", "--text-column text"}, std::array{"pretraining", "txt", ""}}) {
      const std::string end = std::string(".") + ending;
      const JobResult result = run_berth(std::string("prepare --task ") + task + " --train-file " + at("train" + end) +
                                         " --validation-file " + at("validation" + end) + " --tokenizer " + at("model") +
                                         " --max-length 32 --output " + at(std::string(task) + ".h5") + " " + options);
      ASSERT_EQ(result.exit_code, 0) << result.err;
    }
  }

  static JobResult train_on(const std::string& data, const std::string& run, const std::string& options, int ranks = 1) {
    return train(run, "--data " + at(data + ".h5") + " --save-strategy no " + options, ranks);
  }

  static nlohmann::json evaluate(const std::string& data, const std::string& run, int ranks) {
    const JobResult result = run_berth("evaluate --model " + at(run) + " --data " + at(data + ".h5"), ranks);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    nlohmann::json metrics = nlohmann::json::parse(result.out);
    for (const char* timed : {"eval_runtime", "eval_samples_per_second", "eval_steps_per_second"}) metrics.erase(timed);
    return metrics;
  }
};

class EachLanguageModel : public LanguageModelJob, public testing::WithParamInterface<const char*> {};

// The decoder's weight is the word embeddings': their gradient is whole only if it is reduced last.
TEST_P(EachLanguageModel, SameLossesOnAnyRankCountAndMicroBatch) {
  const std::string data = GetParam(), options =
                                           "--global-batch-size 12 --max-steps 10 --hidden-dropout-prob 0 "
                                           "--attention-probs-dropout-prob 0 ";
  const std::string one = data + "_ranks1";
  ASSERT_EQ(train_on(data, one, options).exit_code, 0);
  const auto reference = losses(at(one));
  ASSERT_EQ(reference.size(), 10u);
  for (const auto& [name, more, ranks] :
       {std::tuple{"_ranks2", "", 2}, std::tuple{"_ranks3", "", 3}, std::tuple{"_micro", "--per-device-train-batch-size 2", 1}}) {
    const JobResult result = train_on(data, data + name, options + more, ranks);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    expect_near(losses(at(data + name)), reference, name);
  }
}

// The words' frequencies at least: the loss falls from above log(300).
TEST_P(EachLanguageModel, LearnsWhatWordsThereAre) {
  const std::string data = GetParam(), run = data + "_learned";
  const JobResult result = train_on(data, run, "--max-steps 60 --learning-rate 5e-3 --eval-strategy steps --eval-steps 30");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  std::vector<double> evaluations;
  for (const auto& record : read_jsonl(at(run) + "/metrics.jsonl"))
    if (record.contains("eval_loss")) evaluations.push_back(record["eval_loss"]);
  ASSERT_EQ(evaluations.size(), 2u);
  EXPECT_LT(evaluations[1], losses(at(run)).at(1) - 0.2);
}

TEST_P(EachLanguageModel, TheSameMetricsOnAnyRankCountAndInTheRun) {
  const std::string data = GetParam(), run = data + "_evaluated";
  const JobResult result = train_on(data, run, "--max-steps 6 --eval-strategy steps --eval-steps 3 --logging-steps 4");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const nlohmann::json one = evaluate(data, run, 1), in_run = nlohmann::json::parse(read_bytes(at(run) + "/eval_results.json"));
  EXPECT_EQ(one["eval_loss"], in_run["eval_loss"]);
  EXPECT_NEAR(one["eval_perplexity"], std::exp(one.value("eval_mlm_loss", one["eval_loss"].get<double>())), 1e-6);
  EXPECT_GT(one["eval_accuracy"], 0);
  for (int ranks : {2, 3, 5, 8}) EXPECT_EQ(evaluate(data, run, ranks), one) << ranks << " ranks";
  // The closing table, in the log and beside it.
  const std::string table = read_bytes(at(run) + "/training_results.md");
  EXPECT_TRUE(table.starts_with("| Training Loss | Epoch")) << table;
  EXPECT_NE(table.find("| No log "), std::string::npos) << table;
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 4) << table;
  EXPECT_NE(read_bytes(at(run) + "/berth.log").find(table), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Tasks, EachLanguageModel, testing::Values("mlm", "pretraining"));

// So few masks that micro-batches, ranks and whole steps are without.
TEST_F(LanguageModelJob, BatchesWithoutTargetsAreFine) {
  const std::string options =
      "--global-batch-size 4 --max-steps 6 --mlm-probability 0.01 --hidden-dropout-prob 0 "
      "--attention-probs-dropout-prob 0 --per-device-train-batch-size 1 ";
  ASSERT_EQ(train_on("mlm", "sparse1", options).exit_code, 0);
  const JobResult result = train_on("mlm", "sparse3", options, 3);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto reference = losses(at("sparse1"));
  ASSERT_EQ(reference.size(), 6u);
  expect_near(losses(at("sparse3")), reference, "3 ranks");
}

std::vector<float> tensor_of(const std::string& folder, const std::string& name) {
  const train::TensorFile file = train::parse_safetensors(train::open_bytes(folder + "/model.safetensors"));
  const train::TensorInfo* info = file.find(name);
  if (info == nullptr) return {};
  std::vector<float> values(static_cast<size_t>(train::element_count(info->shape).value()));
  train::read_f32(file, *info, values);
  return values;
}

TEST_F(LanguageModelJob, TheAdaptedEncoderStartsOtherTasks) {
  ASSERT_EQ(train_on("mlm", "adapted", "--max-steps 5").exit_code, 0);
  const auto config = nlohmann::json::parse(read_bytes(at("adapted") + "/config.json"));
  EXPECT_EQ(config["architectures"], nlohmann::json{"BertForMaskedLM"});
  for (const char* absent : {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias", "bert.pooler.dense.weight"})
    EXPECT_TRUE(tensor_of(at("adapted"), absent).empty()) << absent;
  EXPECT_FALSE(tensor_of(at("adapted"), "cls.predictions.bias").empty());
  const JobResult result = train("classifier", "--model " + at("adapted") + " --freeze encoder --max-steps 2 --save-strategy no");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("newly initialised: bert.pooler.dense.weight"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("not used: cls.predictions.bias"), std::string::npos) << result.err;
  for (const char* name : {"bert.embeddings.word_embeddings.weight", "bert.encoder.layer.1.output.dense.weight"}) {
    EXPECT_TRUE(tensor_of(at("classifier"), name) == tensor_of(at("adapted"), name)) << name;
    EXPECT_FALSE(tensor_of(at("model"), name) == tensor_of(at("adapted"), name)) << name;
  }
  EXPECT_EQ(train_on("pretraining", "further", "--model " + at("adapted") + " --max-steps 2").exit_code, 0);
}

// ---- predictions ----

// The weights of tests/golden/language_model_golden.py.
void fill_weight(const std::string& name, at::Tensor value) {
  double start = 0;
  for (const unsigned char c : name) start += c;
  start = std::fmod(start, 97);
  const double base = name.ends_with("LayerNorm.weight") ? 1 : 0;
  at::Tensor flat = at::empty({value.numel()}, at::kFloat);
  for (int64_t i = 0; i < value.numel(); ++i)
    flat.data_ptr<float>()[i] = static_cast<float>(std::sin(start + 0.7 * static_cast<double>(i)) * 0.5 + base);
  value.copy_(flat.view(value.sizes()));
}

void write_golden_model(const nlohmann::json& golden, const fs::path& folder) {
  fs::create_directories(folder);
  std::ofstream vocab(folder / "vocab.txt");
  for (const auto& token : golden["vocab"]) vocab << token.get<std::string>() << "\n";
  vocab.close();
  const nlohmann::json& sizes = golden["config"];
  train::BertConfig config;
  config.vocab_size = sizes["vocab_size"];
  config.hidden_size = sizes["hidden_size"];
  config.num_hidden_layers = sizes["num_hidden_layers"];
  config.num_attention_heads = sizes["num_attention_heads"];
  config.intermediate_size = sizes["intermediate_size"];
  config.max_position_embeddings = sizes["max_position_embeddings"];
  config.label_names = {"LABEL_0", "LABEL_1"};
  const auto comm = comm::make_local_communicator();
  train::ModelInstance model(config, data::TaskKind::kMaskedLm, *comm);
  const at::NoGradGuard no_grad;
  for (train::Parameter& parameter : model.parameters().parameters()) fill_weight(parameter.name, parameter.value);
  const auto tokenizer = data::BertTokenizer::load(folder / "vocab.txt");
  train::save_pretrained(folder, config, model.architecture().name, model.parameters(),
                         [&](const fs::path& to) { return tokenizer.save(to, 32); });
}

TEST_F(LanguageModelJob, FillsMasksAsHuggingFacesPipeline) {
  const auto golden = nlohmann::json::parse(read_bytes(BERTH_SOURCE_DIR "/tests/golden/language_model.json"));
  write_golden_model(golden, at("golden"));
  std::ofstream input(at("fills.jsonl"));
  for (const auto& fill : golden["fills"]) input << nlohmann::json{{"text", fill["text"]}} << "\n";
  input.close();
  for (int ranks : {1, 3}) {
    const JobResult result =
        run_berth("predict --model " + at("golden") + " --input " + at("fills.jsonl") + " --output " + at("filled.jsonl"), ranks);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const auto lines = read_jsonl(at("filled.jsonl"));
    ASSERT_EQ(lines.size(), golden["fills"].size());
    for (size_t i = 0; i < lines.size(); ++i) {
      const nlohmann::json &found = lines[i]["masks"], &expected = golden["fills"][i]["masks"];
      ASSERT_EQ(found.size(), expected.size());
      for (size_t mask = 0; mask < found.size(); ++mask)
        for (size_t k = 0; k < 5; ++k) {
          EXPECT_NEAR(found[mask][k]["score"], expected[mask][k]["score"], 1e-5);
          for (const char* key : {"token", "token_str", "sequence"})
            EXPECT_EQ(found[mask][k][key], expected[mask][k][key]) << "text " << i << ", mask " << mask << ", place " << k;
        }
    }
  }
}

TEST_F(LanguageModelJob, TextsThatCannotBeFilledAreErrors) {
  ASSERT_EQ(train_on("mlm", "filler", "--max-steps 1").exit_code, 0);
  const auto error = [](const std::string& options) {
    const JobResult result = run_berth("predict --model " + at("filler") + " --text \"ban [MASK]\" --text " + options);
    EXPECT_EQ(result.exit_code, 3) << result.err;
    return result.err;
  };
  EXPECT_NE(error("\"ban bas\"").find("row 2: the text has no [MASK]"), std::string::npos);
  EXPECT_NE(error("\"[MASK] ban ban ban ban [MASK]\" --max-length 5").find("row 2: of the text"), std::string::npos);
  const JobResult one = run_berth("predict --model " + at("filler") + " --text \"ban [MASK] bas\" --top-k 3");
  EXPECT_EQ(one.exit_code, 0) << one.err;
  EXPECT_EQ(nlohmann::json::parse(one.out)["masks"][0].size(), 3u);
}

TEST_F(LanguageModelJob, PretrainingJudgesPairs) {
  ASSERT_EQ(train_on("pretraining", "judge", "--max-steps 1").exit_code, 0);
  const JobResult result = run_berth("predict --model " + at("judge") +
                                     " --text \"ban [MASK]\" --text-pair \"tus tut\" --output " + at("judged.jsonl"));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto line = read_jsonl(at("judged.jsonl")).at(0);
  EXPECT_NEAR(line["scores"]["IsNext"].get<double>() + line["scores"]["NotNext"].get<double>(), 1, 1e-9);
  EXPECT_EQ(line["masks"].size(), 1u);
  EXPECT_EQ(run_berth("predict --model " + at("judge") + " --text \"ban\"").exit_code, 3);
}

}  // namespace
}  // namespace berth::test
