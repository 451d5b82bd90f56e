// Whole jobs with relatives of BERT: what is special to them, and that nothing is.
#include <gtest/gtest.h>

#include <fstream>

#include "data/check.h"
#include "tests/support/tiny_job.h"

namespace berth::test {
namespace {

// The relative's model_type.
class RelativeJob : public TinyJob, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(at(GetParam()))) write_tiny_model(at(GetParam()), GetParam());
  }
  static JobResult train(const std::string& run, const std::string& options, int ranks = 1,
                         const std::map<std::string, std::string>& env = {}) {
    return run_berth("train --model " + at(GetParam()) + " --data " + at("data.h5") + " --output-dir " + at(GetParam() + run) +
                         " --logging-steps 1 --learning-rate 1e-3 --global-batch-size 12 --disable-tqdm " + options,
                     ranks, env);
  }
  static std::string of_run(const std::string& run, const std::string& file) { return read_bytes(at(GetParam() + run + file)); }
};

TEST_P(RelativeJob, SameLossesWithDropoutOnAnyRankCount) {
  const std::string options = "--max-steps 8 --save-strategy no";
  ASSERT_EQ(train("_1", options).exit_code, 0);
  const auto alone = losses(at(GetParam() + std::string("_1")));
  ASSERT_EQ(alone.size(), 8u);
  const JobResult result = train("_3", options, 3);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  expect_near(losses(at(GetParam() + std::string("_3"))), alone, "3 ranks");
}

TEST_P(RelativeJob, KilledAndResumedEqualsUninterrupted) {
  const std::string options = "--max-steps 14 --save-steps 5 --freeze 1 --eval-strategy steps --eval-steps 4";
  ASSERT_EQ(train("_whole", options, 2).exit_code, 0);
  EXPECT_NE(train("_killed", options, 2, {{"BERTH_FAILPOINT", "step@8"}}).exit_code, 0);
  const JobResult last = train("_killed", options, 2);
  ASSERT_EQ(last.exit_code, 0) << last.err;
  for (const char* file : {"/model.safetensors", "/checkpoint-14/optimizer.safetensors"})
    EXPECT_TRUE(of_run("_killed", file) == of_run("_whole", file)) << file;
}

TEST_P(RelativeJob, IsSavedUnderItsOwnNamesAndUsedOnAnyRankCount) {
  const std::string options =
      "--max-steps 6 --gradient-checkpointing --bf16 --save-steps 2 --eval-strategy steps --eval-steps 2 "
      "--load-best-model-at-end "
      "--metric-for-best-model loss --greater-is-better true";  // so the first is read again in the end
  ASSERT_EQ(train("_used", options, 2).exit_code, 0);
  const bool distilbert = GetParam() == std::string("distilbert");
  const auto config = nlohmann::json::parse(of_run("_used", "/config.json"));
  const std::string prefix = distilbert ? "DistilBert" : "Electra";
  EXPECT_EQ(config["model_type"], GetParam());
  EXPECT_EQ(config["architectures"], nlohmann::json{prefix + "ForSequenceClassification"});
  EXPECT_EQ(config[distilbert ? "n_layers" : "num_hidden_layers"], 2);
  EXPECT_FALSE(config.contains(distilbert ? "num_hidden_layers" : "n_layers"));
  EXPECT_EQ(nlohmann::json::parse(of_run("_used", "/tokenizer_config.json"))["tokenizer_class"], prefix + "Tokenizer");

  const JobResult seen = run_berth("inspect " + at(GetParam()));
  EXPECT_NE(seen.out.find(distilbert ? "distilbert.transformer.layer.1.ffn.lin2.weight" : "electra.embeddings_project.weight"),
            std::string::npos)
      << seen.out;
  const std::string model = at(GetParam() + std::string("_used"));
  const std::string evaluate = "evaluate --model " + model + " --data " + at("data.h5"),
                    predict = "predict --logits --model " + model + " --input " + at("validation.csv");
  const JobResult alone = run_berth(evaluate), together = run_berth(evaluate, 3);
  ASSERT_EQ(alone.exit_code, 0) << alone.err;
  EXPECT_EQ(nlohmann::json::parse(alone.out)["eval_loss"], nlohmann::json::parse(together.out)["eval_loss"]);
  EXPECT_EQ(run_berth("predict --embeddings --model " + model + " --text \"ban bas\"").exit_code, 0);
  const JobResult one = run_berth(predict), three = run_berth(predict, 3);
  ASSERT_EQ(one.exit_code, 0) << one.err;
  EXPECT_FALSE(one.out.empty());
  EXPECT_EQ(one.out, three.out);
}

TEST_P(RelativeJob, ATaskWithoutAClassIsRefusedOnce) {
  std::ofstream(at("documents.txt")) << "ban bas. tus tut.\n\nden dan. ban tus.\n\nden dan. ban tus.\n";
  ASSERT_EQ(run_berth("prepare --task pretraining --train-file " + at("documents.txt") + " --tokenizer " + at("model") +
                      " --max-length 32 --output " + at("pretraining.h5"))
                .exit_code,
            0);
  const JobResult result = run_berth("train --model " + at(GetParam()) + " --data " + at("pretraining.h5") + " --output-dir " +
                                         at(GetParam() + std::string("_refused")),
                                     2);
  EXPECT_EQ(result.exit_code, 3);
  const std::string said =
      concat("models of type ", GetParam(), " have no class for pretraining in berth; take a model of type bert");
  EXPECT_NE(result.err.find(said), std::string::npos) << result.err;
  EXPECT_EQ(result.err.find(said), result.err.rfind(said)) << result.err;
}
INSTANTIATE_TEST_SUITE_P(Families, RelativeJob, testing::Values("distilbert", "electra"),
                         [](const auto& i) { return std::string(i.param); });

// Whatever else is amiss in the folder of such a model.
TEST_F(TinyJob, OtherArchitecturesAreRefusedInOneLine) {
  const std::string folder = at("roberta");
  std::filesystem::create_directories(folder);
  write_bytes(folder + "/config.json", R"({"model_type": "roberta", "hidden_size": 32})");
  write_bytes(folder + "/tokenizer.json", R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}})");
  for (const std::string& command :
       {"train --data " + at("data.h5") + " --output-dir " + at("refused") + " --model ",
        "evaluate --data " + at("data.h5") + " --model ", std::string("predict --text a --model "), std::string("inspect ")}) {
    const JobResult result = run_berth(command + folder, command.starts_with("inspect") ? 1 : 2);
    EXPECT_EQ(result.exit_code, 3) << result.err;
    const std::string said = "model_type is \"roberta\"; berth fine-tunes models of type bert, distilbert, electra";
    EXPECT_NE(result.err.find(said), std::string::npos) << result.err;
    EXPECT_EQ(result.err.find(said), result.err.rfind(said)) << result.err;
  }
  const JobResult prepared =
      run_berth("prepare --train-file " + at("train.csv") + " --tokenizer " + folder + " --output " + at("refused.h5"));
  EXPECT_EQ(prepared.exit_code, 3);
  EXPECT_NE(prepared.err.find("the model is \"BPE\", but WordPiece is needed, as BERT, DistilBERT and ELECTRA have it"),
            std::string::npos)
      << prepared.err;
}

}  // namespace
}  // namespace berth::test
