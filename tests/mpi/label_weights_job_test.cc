// Class weights, weights of positives and balanced draws: the real program on real ranks.
#include <cstring>
#include <fstream>

#include "tests/support/tiny_job.h"

namespace berth::test {
namespace {

// With words in ner.h5 and topics, several a row, in topics.h5, some of them rare.
class LabelWeightsJob : public TinyJob {
 protected:
  static void SetUpTestSuite() {
    TinyJob::SetUpTestSuite();
    std::ofstream words(at("words.conll")), topics(at("topics.csv"));
    topics << "text,labels\n";
    for (int i = 0; i < 90; ++i) {
      words << (i % 3 == 0 ? "ban B-PER\n" : "dan O\ntus O\n") << (i % 10 == 0 ? "das B-LOC\n" : "") << "\n";
      topics << (i % 9 == 0 ? "ban bas,sun; sea\n" : i % 3 == 1 ? "tus tut dan,snow\n" : "den,\n");
    }
    words.close();
    topics.close();
    for (const std::string& prepare :
         {"ner --train-file " + at("words.conll") + " --output " + at("ner.h5"),
          "multi-label --label-separator \";\" --train-file " + at("topics.csv") + " --output " + at("topics.h5")}) {
      const JobResult result = run_berth("prepare --tokenizer " + at("model") + " --max-length 32 --task " + prepare);
      ASSERT_EQ(result.exit_code, 0) << result.err;
    }
  }

  static void expect_refused(const std::string& options, int code, const std::string& text) {
    const JobResult result = train("refused", "--max-steps 2 --save-strategy no " + options, 2);
    EXPECT_EQ(result.exit_code, code) << options << result.err;
    EXPECT_NE(result.err.find("berth: " + text), std::string::npos) << result.err;
    EXPECT_FALSE(std::filesystem::exists(at("refused") + "/model.safetensors"));
    std::filesystem::remove_all(at("refused"));
  }
};

constexpr const char* kSteps = "--global-batch-size 10 --max-steps 8 --save-strategy no --ignore-mismatched-sizes ";

// A task and options.
class EachWeight : public LabelWeightsJob, public testing::WithParamInterface<std::pair<const char*, const char*>> {};

// Ranks have other shares of the rare classes; dropout is on.
TEST_P(EachWeight, SameLossesOnAnyRankCount) {
  const auto [task, options] = GetParam();
  const std::string data = kSteps + ("--data " + at(std::string(task) + ".h5")),
                    name = task + std::to_string(std::strlen(options)),
                    weighted = data + " --per-device-train-batch-size 4 " + options;
  ASSERT_EQ(train(name + "plain", data).exit_code, 0);
  const JobResult one = train(name + "1", weighted);
  ASSERT_EQ(one.exit_code, 0) << one.err;
  const auto reference = losses(at(name + "1"));
  ASSERT_EQ(reference.size(), 8u);
  for (const auto& [step, loss] : losses(at(name + "plain"))) EXPECT_GT(std::abs(reference.at(step) - loss), 1e-4) << step;
  for (const int ranks : {2, 3, 5}) {
    const std::string run = name + std::to_string(ranks);
    const JobResult result = train(run, weighted, ranks);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    expect_near(losses(at(run)), reference, run);
  }
}
INSTANTIATE_TEST_SUITE_P(Tasks, EachWeight,
                         testing::Values(std::pair("data", "--class-weights negative=1,positive=4 --label-smoothing-factor 0.1"),
                                         std::pair("ner", "--class-weights balanced"),
                                         std::pair("topics", "--pos-weight balanced"), std::pair("topics", "--pos-weight 3"),
                                         std::pair("data", "--weighted-sampling")));

TEST_F(LabelWeightsJob, AreToldAndKeptAndChangeNoMetric) {
  std::ofstream(at("weights.tsv")) << "negative\t0.5\npositive\t4\n";
  const std::string options = kSteps + ("--class-weights " + at("weights.tsv")) + " --eval-strategy steps --eval-steps 8";
  const JobResult result = train("told", options, 2);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("class weights (--class-weights): negative 0.5, positive 4"), std::string::npos) << result.err;
  EXPECT_EQ(nlohmann::json::parse(read_bytes(at("told") + "/provenance.json"))["label_weights"],
            nlohmann::json({{"negative", 0.5}, {"positive", 4}}));
  const JobResult evaluated = run_berth("evaluate --model " + at("told") + " --data " + at("data.h5"));
  ASSERT_EQ(evaluated.exit_code, 0) << evaluated.err;
  EXPECT_EQ(nlohmann::json::parse(evaluated.out)["eval_loss"],
            nlohmann::json::parse(read_bytes(at("told") + "/eval_results.json"))["eval_loss"]);
}

// The same file with another number in it, too.
TEST_F(LabelWeightsJob, AChangedWeightIsRefusedOnAResume) {
  const auto write = [&](double weight) { std::ofstream(at("changed.tsv")) << "negative\t1\npositive\t" << weight << "\n"; };
  const std::string options = "--global-batch-size 10 --max-steps 8 --save-steps 2 --class-weights " + at("changed.tsv");
  write(4);
  EXPECT_NE(train("changed", options, 2, {{"BERTH_FAILPOINT", "step@4"}}).exit_code, 0);
  write(5);
  const JobResult refused = train("changed", options, 2);
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.err.find("--class-weights {\"negative\":1.0,\"positive\":4.0}, now {\"negative\":1.0,\"positive\":5.0}"),
            std::string::npos)
      << refused.err;
  const JobResult other = train("changed", "--global-batch-size 10 --max-steps 8 --save-steps 2 --weighted-sampling", 2);
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_NE(other.err.find("--weighted-sampling false, now true"), std::string::npos) << other.err;
  EXPECT_EQ(train("changed", options + " --allow-change class_weights", 2).exit_code, 0);
}

TEST_F(LabelWeightsJob, WhatDoesNotFitIsSaidOnce) {
  expect_refused("--class-weights negative=1", 2, "--class-weights: no weight for positive; every label needs one");
  expect_refused("--class-weights negative=1,positive=1,odd=1", 2,
                 "--class-weights: 'odd' is none of the labels: negative, positive");
  expect_refused("--class-weights negative=0,positive=nan", 2, "--class-weights: the weight of 'positive' must lie from 0");
  expect_refused("--class-weights balanced --weighted-sampling", 2, "--weighted-sampling and --class-weights both");
  expect_refused("--pos-weight balanced", 2, "--pos-weight is for multi-label classification");
  expect_refused("--class-weights balanced --data " + at("topics.h5"), 2, "--class-weights is for classification and token");
  expect_refused("--weighted-sampling --data " + at("ner.h5"), 2, "--weighted-sampling is for classification into single labels");
  expect_refused("--class-weights " + at("nowhere"), 2, "--class-weights " + at("nowhere") + ": is neither balanced");
  std::ofstream(at("odd.json")) << R"({"negative": 1, "positive": "much"})";
  expect_refused("--class-weights " + at("odd.json"), 3, at("odd.json") + ": the weight of 'positive' is a JSON string");
}

}  // namespace
}  // namespace berth::test
