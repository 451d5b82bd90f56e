// Long texts as windows, whose outputs are pooled: trained, evaluated and predicted on any number of ranks.
#include <fstream>

#include "tests/support/tiny_job.h"

namespace berth::test {
namespace {

// Reviews of 3 to 40 words, a token each, in windows of 10 words that share 4.
class DocumentJob : public TinyJob {
 protected:
  static void SetUpTestSuite() {
    TinyJob::SetUpTestSuite();
    const JobResult result =
        run_berth("prepare --train-file " + at("train.csv") + " --validation-file " + at("validation.csv") + " --tokenizer " +
                  at("model") + " --max-length 12 --doc-stride 4 --output " + at("long.h5"));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_NE(result.out.find(" longer than 12 tokens, up to 6 windows of one"), std::string::npos) << result.out;
    for (const char* pooling : {"mean", "max", "first"}) {
      const JobResult trained = train_on("long.h5", pooling, std::string("--document-pooling ") + pooling);
      ASSERT_EQ(trained.exit_code, 0) << trained.err;
    }
    ASSERT_EQ(train_on("data.h5", "cut", "").exit_code, 0);
  }

  static JobResult train_on(const std::string& data, const std::string& run, const std::string& options, int ranks = 1,
                            const std::map<std::string, std::string>& env = {}) {
    return run_berth(
        "train --model " + at("model") + " --data " + at(data) + " --output-dir " + at(run) +
            " --logging-steps 1 --learning-rate 1e-3 --disable-tqdm --max-steps 6 --global-batch-size 12 --save-steps 2 " +
            options,
        ranks, env);
  }
  static nlohmann::json evaluate(const std::string& run, const std::string& data, int ranks = 1) {
    const JobResult result = run_berth("evaluate --model " + at(run) + " --data " + at(data), ranks);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    nlohmann::json metrics = nlohmann::json::parse(result.out);
    for (const char* timed : {"eval_runtime", "eval_samples_per_second", "eval_steps_per_second"}) metrics.erase(timed);
    return metrics;
  }
  static std::vector<nlohmann::json> predict(const std::string& models, const std::string& input, int ranks = 1) {
    const JobResult result = run_berth("predict --logits --output " + at("out.jsonl") + models + input, ranks);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return read_jsonl(at("out.jsonl"));
  }
};

// With dropout, which is keyed by a window's number in the split.
TEST_F(DocumentJob, SameLossesAndMetricsOnAnyRankCount) {
  const auto reference = losses(at("mean"));
  ASSERT_EQ(reference.size(), 6u);
  for (int ranks : {2, 3, 5}) {
    const std::string run = "mean" + std::to_string(ranks);
    const JobResult result = train_on("long.h5", run, "--save-strategy no", ranks);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    expect_near(losses(at(run)), reference, run);
  }
  for (const char* run : {"mean", "max", "first"}) {
    const nlohmann::json one = evaluate(run, "long.h5");
    EXPECT_EQ(one["eval_samples"], 41);
    for (int ranks : {2, 3, 5}) EXPECT_EQ(evaluate(run, "long.h5", ranks), one) << run << ", " << ranks << " ranks";
  }
}

TEST_F(DocumentJob, KilledAndResumedEqualsUninterrupted) {
  EXPECT_NE(train_on("long.h5", "killed", "--document-pooling max", 1, {{"BERTH_FAILPOINT", "step@5"}}).exit_code, 0);
  const JobResult other = train_on("long.h5", "killed", "--document-pooling first");
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_NE(other.err.find("--document-pooling \"max\", now \"first\""), std::string::npos) << other.err;
  const JobResult again = train_on("long.h5", "killed", "");
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(losses(at("killed")), losses(at("max")));
  EXPECT_TRUE(read_bytes(at("killed") + "/model.safetensors") == read_bytes(at("max") + "/model.safetensors"));
}

// What the model says of a text is what it says of its windows, pooled.
TEST_F(DocumentJob, ATextsLogitsAreItsWindowsPooled) {
  const auto row = [](const std::vector<std::string>& words, size_t begin, size_t end) {
    std::string text;
    for (size_t i = begin; i < std::min(end, words.size()); ++i) text += (text.empty() ? "" : " ") + words[i];
    return text + "\n";
  };
  std::vector<std::string> words;
  for (const char a : std::string("bdfgk"))
    for (const char b : std::string("aeiou")) words.push_back({a, b, 'n'});
  std::ofstream(at("text.txt")) << row(words, 0, 25) << row(words, 0, 10) << row(words, 6, 16) << row(words, 12, 22)
                                << row(words, 18, 25);
  const std::string input = " --input " + at("text.txt");
  for (const char* pooling : {"mean", "max", "first"}) {
    const auto lines = predict(" --model " + at(pooling), input);
    ASSERT_EQ(lines.size(), 5u);
    for (size_t c = 0; c < 2; ++c) {
      std::vector<double> windows;
      for (size_t i = 1; i < 5; ++i) windows.push_back(lines[i]["logits"][c]);
      const double mean = (windows[0] + windows[1] + windows[2] + windows[3]) / 4,
                   expected = pooling == std::string("mean")  ? mean
                              : pooling == std::string("max") ? *std::max_element(windows.begin(), windows.end())
                                                              : windows[0];
      EXPECT_NEAR(lines[0]["logits"][c].get<double>(), expected, 1e-5) << pooling;
    }
  }
}

TEST_F(DocumentJob, PredictionsAreThoseOfTheEvaluationOnAnyRankCount) {
  const std::string input = " --input " + at("validation.csv"), labelled = read_bytes(at("validation.csv"));
  const auto lines = predict(" --model " + at("mean"), input);
  EXPECT_EQ(predict(" --model " + at("mean"), input, 3), lines);
  int right = 0;
  for (const auto& line : lines)
    right += labelled.find(line["text"].get<std::string>() + "," + line["label"].get<std::string>() + "\n") != std::string::npos;
  EXPECT_DOUBLE_EQ(evaluate("mean", "long.h5")["eval_accuracy"], right / 41.0);
  const auto both = predict(" --model " + at("mean") + " --model " + at("mean"), input);
  EXPECT_EQ(both[0]["scores"], lines[0]["scores"]);
}

TEST_F(DocumentJob, WhatDoesNotFitIsRefused) {
  const auto expect = [](const JobResult& result, int code, const char* says) {
    EXPECT_EQ(result.exit_code, code) << result.err;
    EXPECT_NE(result.err.find(says), std::string::npos) << result.err;
  };
  expect(train_on("data.h5", "no", "--document-pooling max"), 2, "prepare the data with --doc-stride");
  expect(train_on("long.h5", "no", "--document-pooling sum"), 2, "use mean, max or first");
  expect(run_berth("evaluate --model " + at("cut") + " --data " + at("long.h5")), 3, "without --doc-stride");
  expect(run_berth("evaluate --model " + at("mean") + " --data " + at("data.h5")), 0, "long texts are cut, those that ");
  expect(run_berth("predict --doc-stride 4 --text ban --model " + at("cut")), 2, "--doc-stride: ");
  expect(run_berth("predict --text ban --model " + at("mean") + " --model " + at("max")), 3,
         "what it does with long texts is not");
}

}  // namespace
}  // namespace berth::test
