// Texts that are cleaned or multiplied on their way into the data set, from the raw file to the prediction.
#include <csignal>
#include <set>

#include "data/tokenizer/bert_tokenizer.h"
#include "tests/support/tiny_job.h"
#include "trainer/model/heads.h"
#include "trainer/use/load_model.h"
#include "trainer/use/pretrained.h"
#include "trainer/use/substitute.h"

namespace berth::test {
namespace {

// The tiny model's encoder sizes and vocabulary under a masked language model's head, with random weights.
void write_tiny_language_model(const std::string& folder, const std::string& like) {
  const train::BertConfig config = train::load_config(like);
  const train::Architecture& architecture = train::architecture_of(data::TaskKind::kMaskedLm);
  const auto specs = architecture.parameters(config, false);
  const auto comm = comm::make_local_communicator();
  train::ParameterStore parameters(specs, *comm, 1 << 20);
  parameters.initialize(specs, 0.2, 11);
  std::filesystem::create_directories(folder);
  const data::BertTokenizer tokenizer = data::BertTokenizer::load(like);
  train::save_pretrained(folder, config, architecture.name, parameters, [&](const auto& to) { return tokenizer.save(to, 64); });
}

class TextsJob : public TinyJob {
 protected:
  static void SetUpTestSuite() {
    TinyJob::SetUpTestSuite();
    write_tiny_language_model(at("words"), at("model"));
  }

  static JobResult prepare(const std::string& output, const std::string& options) {
    return run_berth("prepare --train-file " + at("train.csv") + " --validation-split 0.2 --tokenizer " + at("model") +
                     " --max-length 32 --output " + at(output) + " " + options);
  }
  static JobResult train_on(const std::string& data, const std::string& run) {
    return run_berth("train --model " + at("model") + " --data " + at(data) + " --output-dir " + at(run) +
                     " --max-steps 3 --save-strategy no --disable-tqdm");
  }
};

TEST_F(TextsJob, NewTextsGoThroughWhatTheTrainingTextsWentThrough) {
  ASSERT_EQ(prepare("clean.h5", "--normalize whitespace,html").exit_code, 0);
  ASSERT_EQ(train_on("clean.h5", "clean").exit_code, 0);
  const auto config = nlohmann::json::parse(read_bytes(at("clean") + "/config.json"));
  EXPECT_EQ(config["berth_normalize"], "html,whitespace");
  const std::string texts = " --logits --text \"ban bas\" --text \"<b>ban</b><br />b&#97;s\"";
  const JobResult result = run_berth("predict --model " + at("clean") + texts + " --output " + at("clean.jsonl"), 2);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto lines = read_jsonl(at("clean.jsonl"));
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0]["logits"], lines[1]["logits"]);
  EXPECT_EQ(lines[1]["text"], "<b>ban</b><br />b&#97;s") << "the text is shown as it was given";

  // A model of texts as they are leaves new texts as they are, although it starts from one of cleaned texts.
  ASSERT_EQ(run_berth("train --model " + at("clean") + " --data " + at("data.h5") + " --output-dir " + at("raw") +
                      " --max-steps 3 --save-strategy no --disable-tqdm")
                .exit_code,
            0);
  ASSERT_EQ(run_berth("predict --model " + at("raw") + texts + " --output " + at("raw.jsonl")).exit_code, 0);
  const auto raw = read_jsonl(at("raw.jsonl"));
  EXPECT_NE(raw[0]["logits"], raw[1]["logits"]);
}

TEST_F(TextsJob, EvaluationWarnsOfTextsThatWereTreatedOtherwise) {
  ASSERT_EQ(prepare("spaces.h5", "--normalize whitespace").exit_code, 0);
  ASSERT_EQ(train_on("spaces.h5", "spaces").exit_code, 0);
  const std::string evaluate = "evaluate --model " + at("spaces") + " --data ";
  EXPECT_NE(run_berth(evaluate + at("data.h5")).err.find("normalised by nothing"), std::string::npos);
  EXPECT_EQ(run_berth(evaluate + at("spaces.h5")).err.find("normalised by"), std::string::npos);
}

TEST_F(TextsJob, TheSavedTokenizerTreatsLettersAsTheDataSetDoes) {
  ASSERT_EQ(prepare("cased.h5", "--do-lower-case false").exit_code, 0);
  const JobResult result = train_on("cased.h5", "cased");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("prepared without lower-casing"), std::string::npos) << result.err;
  EXPECT_EQ(nlohmann::json::parse(read_bytes(at("cased") + "/tokenizer_config.json"))["do_lower_case"], false);
  const std::string evaluate = "evaluate --model " + at("cased") + " --split train --data ";
  EXPECT_EQ(run_berth(evaluate + at("cased.h5")).exit_code, 0);
  const JobResult other = run_berth(evaluate + at("data.h5"));
  EXPECT_EQ(other.exit_code, 3);
  EXPECT_NE(other.err.find("was prepared with lower-casing"), std::string::npos) << other.err;
}

TEST_F(TextsJob, AModelTrainsOnAugmentedTexts) {
  const std::string augment =
      "--augment swap,delete,substitute --augment-copies 2 --augment-fraction 0.2 --augment-model " + at("words");
  const JobResult result = prepare("augmented.h5", augment + " --threads 1");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("  copies   delete 6"), std::string::npos) << result.out;
  ASSERT_EQ(prepare("again.h5", augment + " --threads 4").exit_code, 0);
  // The files differ in the command lines that they keep.
  const auto json = [&](const char* file) {
    auto all = nlohmann::json::parse(run_berth("inspect --json " + at(file)).out);
    all.erase("path");
    all.erase("command");
    return all;
  };
  EXPECT_EQ(json("augmented.h5"), json("again.h5"));
  const auto splits = json("augmented.h5")["splits"];
  EXPECT_GT(splits[0]["augmented"]["substitute"], 60);
  EXPECT_FALSE(splits[1].contains("augmented"));
  EXPECT_EQ(splits[1]["samples"], 25);
  EXPECT_NE(run_berth("inspect " + at("augmented.h5")).out.find("delete 6"), std::string::npos);
  ASSERT_EQ(train_on("augmented.h5", "augmented").exit_code, 0);
  EXPECT_TRUE(read_bytes(at("augmented") + "/model.safetensors") != read_bytes(at("model") + "/model.safetensors"));
  ASSERT_EQ(train_on("again.h5", "again").exit_code, 0);
  EXPECT_TRUE(read_bytes(at("augmented") + "/model.safetensors") == read_bytes(at("again") + "/model.safetensors"))
      << "the same samples, whatever the number of threads";
}

TEST_F(TextsJob, HiddenWordsAreReplacedByOtherWholeWords) {
  const data::SubstituteWords substitute = train::load_substitution(at("words"));
  const data::Vocab vocab = data::Vocab::load(at("words") + "/vocab.txt");
  const std::string word = vocab.token(5);
  std::vector<data::HiddenWords> texts;
  for (int i = 0; i < 50; ++i)
    texts.push_back({{word, "(" + word + "),", "...", vocab.token(6 + i)}, {0, 1, 2}, {.1f, .5f, static_cast<float>(i) / 50}});
  texts.push_back({std::vector<std::string>(100, word), {1, 99}, {.3f, .3f}});
  texts.push_back({{}, {}, {}});
  const auto answers = substitute(texts);
  ASSERT_EQ(answers.size(), texts.size());
  for (size_t i = 0; i < 50; ++i) {
    const auto& answer = answers[i];
    EXPECT_NE(answer[0], word);
    EXPECT_GE(vocab.find(answer[0]), 5);
    EXPECT_FALSE(answer[0].starts_with("##"));
    EXPECT_TRUE(answer[1].starts_with("(") && answer[1].ends_with("),")) << answer[1];
    EXPECT_EQ(answer[2], "") << "there is no word between the points";
  }
  EXPECT_NE(answers[50][0], "");
  EXPECT_EQ(answers[50][1], "") << "behind the model's 64 positions";
  EXPECT_EQ(substitute(texts), answers);
  EXPECT_GT(std::set(answers.begin(), answers.begin() + 50).size(), 10u) << "the texts around differ";
}

TEST_F(TextsJob, ModelsAndOptionsThatDoNotFitAreRefused) {
  const JobResult headless = prepare("no.h5", "--augment substitute --augment-model " + at("model"));
  EXPECT_EQ(headless.exit_code, 3);
  EXPECT_NE(headless.err.find("--augment-model " + at("model")), std::string::npos) << headless.err;
  EXPECT_NE(headless.err.find("cls.predictions"), std::string::npos) << headless.err;
  EXPECT_EQ(prepare("no.h5", "--augment substitute").exit_code, 2);
  EXPECT_EQ(prepare("no.h5", "--augment swap --augment-model " + at("words")).exit_code, 2);
  EXPECT_EQ(prepare("no.h5", "--augment-copies 3").exit_code, 2);
  EXPECT_EQ(prepare("no.h5", "--augment shout").exit_code, 2);
  EXPECT_EQ(prepare("no.h5", "--normalize emoji").exit_code, 2);
  EXPECT_FALSE(std::filesystem::exists(at("no.h5")));
}

// A training file without end: the signal comes when prepare has opened it. Nothing is left, and the exit code is not 75, on
// which a batch script starts again.
TEST_F(TextsJob, PrepareThatASignalStopsEndsAsAnyProgram) {
  const JobResult stopped = run_shell(
      "cd " + dir_->path().string() +
      " && mkfifo endless.csv && { { exec 3>endless.csv; touch opened; while cat train.csv >&3; do :; done; } & } " +
      "2>/dev/null; " + berth_program() + " prepare --train-file endless.csv --validation-split 0.2 --tokenizer model --output " +
      "stopped.h5 & job=$!; until [ -e opened ]; do sleep 0.01; kill -0 $job || break; done; kill -USR1 $job; wait $job");
  EXPECT_EQ(stopped.exit_code, 128 + SIGUSR1) << stopped.err;
  EXPECT_NE(stopped.err.find("stopped on request; no data set was written"), std::string::npos) << stopped.err;
  for (const auto& entry : std::filesystem::directory_iterator(dir_->path()))
    EXPECT_EQ(entry.path().filename().string().find("stopped.h5"), std::string::npos);
}

}  // namespace
}  // namespace berth::test
