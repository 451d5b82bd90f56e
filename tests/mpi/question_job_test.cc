// Question answering as users run it: from SQuAD files to answers, on any number of ranks.
#include <fstream>

#include "tests/support/tiny_job.h"

namespace berth::test {
namespace {

class QuestionJob : public TinyJob {
 protected:
  static void SetUpTestSuite() {
    dir_ = std::make_unique<TempDir>();
    write_tiny_model(*dir_ / "model");
    write_tiny_questions(*dir_ / "train.json", 80);
    write_tiny_questions(*dir_ / "valid.json", 37, 2);
    const JobResult result =
        run_berth("prepare --task qa --train-file " + at("train.json") + " --validation-file " + at("valid.json") +
                  " --tokenizer " + at("model") + " --max-length 48 --doc-stride 16 --output " + at("data.h5"));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    ASSERT_NE(result.out.find("20 questions have none"), std::string::npos) << result.out;
    ASSERT_EQ(result.out.find("warning"), std::string::npos) << result.out;
    ASSERT_EQ(train("run", "--max-steps 30 --save-strategy no --global-batch-size 16").exit_code, 0);
  }

  static nlohmann::json evaluate(int ranks, const std::string& to, const std::string& options, const std::string& model = "run") {
    const JobResult result = run_berth(
        "evaluate --model " + at(model) + " --data " + at("data.h5") + " --output-dir " + at(to) + " " + options, ranks);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    nlohmann::json metrics = nlohmann::json::parse(result.out);
    for (const char* timed : {"eval_runtime", "eval_samples_per_second", "eval_steps_per_second"}) metrics.erase(timed);
    return metrics;
  }
};

TEST_F(QuestionJob, SameLossesOnAnyRankCount) {
  const std::string options =
      "--global-batch-size 12 --max-steps 14 --hidden-dropout-prob 0 --attention-probs-dropout-prob 0 --eval-strategy steps "
      "--eval-steps 7 --save-strategy no";
  ASSERT_EQ(train("ranks1", options, 1).exit_code, 0);
  const auto reference = losses(at("ranks1"));
  ASSERT_EQ(reference.size(), 14u);
  for (int ranks : {2, 3}) {
    const std::string run = "ranks" + std::to_string(ranks);
    const JobResult result = train(run, options, ranks);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    expect_near(losses(at(run)), reference, run);
  }
  const auto results = nlohmann::json::parse(read_bytes(at("ranks1") + "/eval_results.json"));
  for (const char* name : {"eval_loss", "eval_exact_match", "eval_f1"}) EXPECT_TRUE(results.contains(name)) << name;
}

// A window lost or doubled would change a prediction, an n-best list or the loss.
TEST_F(QuestionJob, SameMetricsAndPredictionsOnAnyRankCount) {
  const nlohmann::json one = evaluate(1, "eval1", "--version-2-with-negative");
  EXPECT_EQ(one["eval_total"], 37);
  EXPECT_EQ(one["eval_HasAns_total"], 28);
  EXPECT_EQ(one["eval_NoAns_total"], 9);
  EXPECT_GT(one["eval_samples"], 50) << "windows";
  EXPECT_EQ(nlohmann::json::parse(read_bytes(at("eval1") + "/predictions.json")).size(), 37u);
  for (int ranks : {2, 3, 5, 8}) {
    const std::string to = "eval" + std::to_string(ranks);
    EXPECT_EQ(evaluate(ranks, to, "--version-2-with-negative"), one) << ranks << " ranks";
    for (const char* name : {"/predictions.json", "/nbest_predictions.json", "/null_odds.json"})
      EXPECT_EQ(read_bytes(at(to) + name), read_bytes(at("eval1") + name)) << ranks << " ranks";
  }
}

TEST_F(QuestionJob, TheNullThresholdDecidesWhatHasNoAnswer) {
  const nlohmann::json never = evaluate(1, "never", "--version-2-with-negative --null-score-diff-threshold 1e9");
  const nlohmann::json always = evaluate(1, "always", "--version-2-with-negative --null-score-diff-threshold -1e9");
  EXPECT_EQ(never["eval_NoAns_exact"], 0.0);
  EXPECT_EQ(always["eval_NoAns_exact"], 100.0);
  EXPECT_EQ(always["eval_HasAns_f1"], 0.0);
  const auto nothing = nlohmann::json::parse(read_bytes(at("always") + "/predictions.json"));
  for (const auto& text : nothing) EXPECT_EQ(text, "");
  const nlohmann::json one = evaluate(1, "one", "");
  EXPECT_FALSE(one.contains("eval_NoAns_f1"));
  EXPECT_FALSE(std::filesystem::exists(at("one") + "/null_odds.json"));
}

// On its own training questions, which it knows by heart, a model is best at a threshold that is not the default.
TEST_F(QuestionJob, TheBestThresholdGivesTheBestF1) {
  ASSERT_EQ(train("learned", "--max-steps 150 --learning-rate 5e-3 --save-strategy no --global-batch-size 16").exit_code, 0);
  const std::string options = "--split train --version-2-with-negative --null-score-diff-threshold ";
  const nlohmann::json never = evaluate(1, "never_here", options + "1e9", "learned");
  const double best = never["eval_best_f1"], threshold = never["eval_best_f1_thresh"];
  ASSERT_NE(threshold, 0) << never;
  ASSERT_LT(never["eval_f1"], best) << "the test needs questions that are better left unanswered";
  const nlohmann::json there = evaluate(1, "best", options + nlohmann::json(threshold).dump(), "learned");
  EXPECT_NEAR(there["eval_f1"].get<double>(), best, 1e-6);
}

TEST_F(QuestionJob, PredictionsAreThoseOfTheEvaluation) {
  evaluate(1, "evaluated", "");
  const auto expected = nlohmann::json::parse(read_bytes(at("evaluated") + "/predictions.json"));
  const std::string command =
      "predict --model " + at("run") + " --input " + at("valid.json") + " --max-length 48 --doc-stride 16 --n-best --output ";
  ASSERT_EQ(run_berth(command + at("one.jsonl"), 1).exit_code, 0);
  ASSERT_EQ(run_berth(command + at("three.jsonl"), 3).exit_code, 0);
  EXPECT_EQ(read_bytes(at("one.jsonl")), read_bytes(at("three.jsonl")));
  const auto lines = read_jsonl(at("one.jsonl"));
  ASSERT_EQ(lines.size(), 37u);
  for (const auto& line : lines) {
    EXPECT_EQ(line["answer"], expected[line["id"].get<std::string>()]);
    EXPECT_EQ(line["n_best"][0]["text"], line["answer"]);
    const int64_t begin = line["start"], end = line["end"];
    EXPECT_LT(begin, end);
  }
}

TEST_F(QuestionJob, AQuestionOfTheCommandLineIsAnsweredForPeople) {
  const std::string ask = "predict --model " + at("run") + " --text \"ban\" --text-pair ";
  JobResult result = run_berth(ask + "\"bas bat ban tus tut tar\"");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(result.out.starts_with("Question: ban => Answer: ")) << result.out;
  result = run_berth(ask + "\"\"");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(result.out.starts_with("Question: ban => Answer: (none)")) << result.out;
  result = run_berth("predict --model " + at("run") + " --text ban");
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_NE(result.err.find("needs the context"), std::string::npos) << result.err;
  result = run_berth(ask + "ban --n-best-size 0");
  EXPECT_EQ(result.exit_code, 2);
}

TEST_F(QuestionJob, ATestSplitWithoutAnswersCanBePredictedNotEvaluated) {
  std::ofstream(at("test.jsonl")) << R"({"id": "x", "question": "ban", "context": "ban bat"})"
                                  << "\n";
  ASSERT_EQ(run_berth("prepare --task qa --test-file " + at("test.jsonl") + " --tokenizer " + at("model") +
                      " --max-length 48 --output " + at("test.h5"))
                .exit_code,
            0);
  JobResult result = run_berth("evaluate --model " + at("run") + " --data " + at("test.h5") + " --split test");
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_NE(result.err.find("has no answers"), std::string::npos) << result.err;
  result = run_berth("predict --model " + at("run") + " --input " + at("test.jsonl"));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(nlohmann::json::parse(result.out)["id"], "x");
}

}  // namespace
}  // namespace berth::test
