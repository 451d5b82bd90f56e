// Custom heads in whole jobs: the same on any number of ranks, killed and gone on, evaluated and asked.
#include "tests/support/tiny_job.h"

namespace berth::test {
namespace {

class CustomHeadJob : public TinyJob {
 protected:
  static constexpr const char* kHead =
      "--ignore-mismatched-sizes --pooling mean --head-hidden-sizes 24,16 --head-activation gelu --head-dropout 0.2 ";
  static constexpr const char* kSteps = "--global-batch-size 12 --max-steps 9 --save-steps 3 ";
};

TEST_F(CustomHeadJob, TheSameLossesOnAnyRankCountAndTheSameBitsWhenKilled) {
  const std::string options = std::string(kHead) + kSteps;
  ASSERT_EQ(train("one", options).exit_code, 0);
  ASSERT_EQ(losses(at("one")).size(), 9u);
  for (const int ranks : {2, 3, 5}) {
    const std::string run = "on" + std::to_string(ranks);
    ASSERT_EQ(train(run, options, ranks).exit_code, 0);
    expect_near(losses(at(run)), losses(at("one")), run);
  }
  EXPECT_NE(train("killed", options, 2, {{"BERTH_FAILPOINT", "step@5"}}).exit_code, 0);
  const JobResult other =
      train("killed", "--ignore-mismatched-sizes --pooling max --head-hidden-sizes 24,16 " + std::string(kSteps), 2);
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_NE(other.err.find("--pooling \"mean\", now \"max\""), std::string::npos) << other.err;
  ASSERT_EQ(train("killed", options, 2).exit_code, 0);
  for (const char* file : {"model.safetensors", "config.json", "modeling_berth.py"})
    EXPECT_TRUE(read_bytes(at("killed") + "/" + file) == read_bytes(at("on2") + "/" + file)) << file;
  EXPECT_TRUE(std::filesystem::exists(at("on2") + "/checkpoint-9/modeling_berth.py"));
}

TEST_F(CustomHeadJob, IsEvaluatedAndAsked) {
  ASSERT_EQ(
      train("used", std::string(kHead) + "--max-steps 6 --save-strategy no --eval-strategy steps --eval-steps 6 --freeze encoder")
          .exit_code,
      0);
  ASSERT_EQ(train("plain", "--max-steps 6 --save-strategy no").exit_code, 0);
  EXPECT_FALSE(std::filesystem::exists(at("plain") + "/modeling_berth.py"));
  const auto results = nlohmann::json::parse(read_bytes(at("used") + "/eval_results.json"));
  for (const int ranks : {1, 3}) {
    const JobResult evaluated = run_berth("evaluate --model " + at("used") + " --data " + at("data.h5"), ranks);
    ASSERT_EQ(evaluated.exit_code, 0) << evaluated.err;
    EXPECT_EQ(nlohmann::json::parse(evaluated.out)["eval_loss"], results["eval_loss"]);
  }
  const JobResult both = run_berth("predict --text \"ban bas\" --output - --model " + at("used") + " --model " + at("plain"));
  ASSERT_EQ(both.exit_code, 0) << both.err;
  const auto embedded = run_berth("predict --embeddings --text \"ban bas\" --model " + at("used"));
  EXPECT_EQ(embedded.exit_code, 0) << embedded.err;
  EXPECT_NE(read_bytes(at("used") + "/README.md").find("trust_remote_code=True"), std::string::npos);
}

TEST_F(CustomHeadJob, StartsOtherModels) {
  ASSERT_EQ(train("first", std::string(kHead) + "--max-steps 2 --save-strategy no").exit_code, 0);
  const auto go_on = [&](const std::string& run, const std::string& options) {
    return run_berth("train --disable-tqdm --max-steps 2 --save-strategy no --model " + at("first") + " --data " + at("data.h5") +
                     " --output-dir " + at(run) + " " + options);
  };
  ASSERT_EQ(go_on("kept", "").exit_code, 0);
  EXPECT_EQ(nlohmann::json::parse(read_bytes(at("kept") + "/config.json"))["head_hidden_sizes"], nlohmann::json({24, 16}));
  const JobResult wider = go_on("wider", "--head-hidden-sizes 20");
  EXPECT_EQ(wider.exit_code, 3);
  EXPECT_NE(wider.err.find("give those with --head-hidden-sizes"), std::string::npos) << wider.err;
  ASSERT_EQ(go_on("back", "--head-hidden-sizes none --pooling pooler --ignore-mismatched-sizes").exit_code, 0);
  const auto config = nlohmann::json::parse(read_bytes(at("back") + "/config.json"));
  EXPECT_EQ(config["architectures"], nlohmann::json({"BertForSequenceClassification"}));
  EXPECT_EQ(config["model_type"], "bert");
  for (const char* key : {"auto_map", "pooling", "head_hidden_sizes"}) EXPECT_FALSE(config.contains(key)) << key;
}

TEST_F(CustomHeadJob, WhatDoesNotFitIsAUsageError) {
  write_tiny_questions(at("questions.json"), 20);
  ASSERT_EQ(run_berth("prepare --task qa --train-file " + at("questions.json") + " --tokenizer " + at("model") + " --output " +
                      at("qa.h5") + " --max-length 32 --doc-stride 16")
                .exit_code,
            0);
  const auto expect = [&](const std::string& options, const std::string& what) {
    const JobResult result = train("refused", options);
    EXPECT_EQ(result.exit_code, 2) << options;
    EXPECT_NE(result.err.find(what), std::string::npos) << result.err;
  };
  expect("--head-hidden-sizes 8,x", "--head-hidden-sizes x: is no number");
  expect("--head-hidden-sizes 0", "a hidden layer of 0");
  expect("--head-activation swish", "--head-activation swish is not known");
  expect("--head-dropout 0.5", "there are none");
  expect("--head-hidden-sizes 8 --head-dropout 1", "--head-dropout");
  expect("--pooling median", "--pooling median is not known");
  expect("--pooling mean --data " + at("qa.h5"),
         "--pooling is for the classification and regression of texts, not for question-answering");
  expect("--head-hidden-sizes 8 --data " + at("qa.h5"),
         "--head-hidden-sizes is for classification and regression, not for question-answering");
}

}  // namespace
}  // namespace berth::test
