// Multiple choice and next-sentence prediction: trained, evaluated and predicted on any number of ranks.
#include <fstream>
#include <numeric>
#include <sstream>

#include "tests/support/tiny_job.h"

namespace berth::test {
namespace {

class ChoiceJob : public TinyJob {
 protected:
  static void SetUpTestSuite() {
    TinyJob::SetUpTestSuite();
    write_tiny_choices(at("choices.csv"), 120, 3);
    write_tiny_choices(at("dev.csv"), 41, 4, 2);
    std::ofstream next(at("next.csv"));
    next << "sentence1,sentence2,label\n";
    for (int i = 0; i < 90; ++i)
      next << "ban bas" << (i % 4 ? " tus" : "") << ",dan den" << (i % 3 ? "" : " ban") << "," << i % 2 << "\n";
    next.close();
    const std::string to = " --tokenizer " + at("model") + " --max-length 32 --output ";
    for (const std::string& options :
         {"--task multiple-choice --train-file " + at("choices.csv") + " --validation-file " + at("dev.csv") + to +
              at("choices.h5"),
          "--task nsp --train-file " + at("next.csv") + " --validation-split 0.3" + to + at("next.h5")}) {
      const JobResult result = run_berth("prepare " + options);
      ASSERT_EQ(result.exit_code, 0) << result.err;
    }
    for (const char* task : {"choices", "next"}) ASSERT_EQ(train_on(task, task).exit_code, 0);
  }

  static JobResult train_on(const std::string& task, const std::string& run, int ranks = 1,
                            const std::map<std::string, std::string>& env = {}) {
    return run_berth(
        "train --model " + at("model") + " --data " + at(task + ".h5") + " --output-dir " + at(run) +
            " --logging-steps 1 --learning-rate 1e-3 --disable-tqdm --max-steps 6 --global-batch-size 12 --save-steps 2"
            " --ignore-mismatched-sizes --label-smoothing-factor 0.1",
        ranks, env);
  }
  static nlohmann::json evaluate(const std::string& task, int ranks) {
    const JobResult result = run_berth("evaluate --model " + at(task) + " --data " + at(task + ".h5"), ranks);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    nlohmann::json metrics = nlohmann::json::parse(result.out);
    for (const char* timed : {"eval_runtime", "eval_samples_per_second", "eval_steps_per_second"}) metrics.erase(timed);
    return metrics;
  }
  static std::vector<nlohmann::json> predict(const std::string& task, const std::string& input, int ranks) {
    const JobResult result =
        run_berth("predict --logits --model " + at(task) + " --input " + at(input) + " --output " + at("out.jsonl"), ranks);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return read_jsonl(at("out.jsonl"));
  }
};

TEST_F(ChoiceJob, SameLossesAndMetricsOnAnyRankCount) {
  for (const std::string task : {"choices", "next"}) {
    const auto reference = losses(at(task));
    ASSERT_EQ(reference.size(), 6u);
    for (int ranks : {2, 3, 5}) {
      const std::string run = task + std::to_string(ranks);
      const JobResult result = train_on(task, run, ranks);
      ASSERT_EQ(result.exit_code, 0) << result.err;
      expect_near(losses(at(run)), reference, run);
    }
    const nlohmann::json one = evaluate(task, 1);
    EXPECT_EQ(one["eval_samples"], task == "choices" ? 41 : 27);
    for (int ranks : {2, 3, 5}) EXPECT_EQ(evaluate(task, ranks), one) << task << ", " << ranks << " ranks";
  }
}

TEST_F(ChoiceJob, KilledAndResumedEqualsUninterrupted) {
  EXPECT_NE(train_on("choices", "killed", 2, {{"BERTH_FAILPOINT", "step@5"}}).exit_code, 0);
  ASSERT_EQ(train_on("choices", "killed", 2).exit_code, 0);
  ASSERT_EQ(train_on("choices", "whole", 2).exit_code, 0);
  EXPECT_EQ(losses(at("killed")), losses(at("whole")));
  EXPECT_TRUE(read_bytes(at("killed") + "/model.safetensors") == read_bytes(at("whole") + "/model.safetensors"));
}

TEST_F(ChoiceJob, PredictionsAreThoseOfTheEvaluationOnAnyRankCount) {
  const auto lines = predict("choices", "dev.csv", 1);
  EXPECT_EQ(predict("choices", "dev.csv", 3), lines);
  ASSERT_EQ(lines.size(), 41u);
  std::istringstream rows(read_bytes(at("dev.csv")));
  std::string row;
  std::getline(rows, row);
  int right = 0;
  for (const auto& line : lines) {
    std::getline(rows, row);
    right += row.back() - '0' == line["label"].get<int>();
    EXPECT_EQ(line["choice"], line["choices"][line["label"].get<size_t>()]);
    EXPECT_EQ(line["score"], line["scores"][line["label"].get<size_t>()]);
    EXPECT_EQ(line["logits"].size(), 4u);
    const auto scores = line["scores"].get<std::vector<double>>();
    EXPECT_NEAR(std::accumulate(scores.begin(), scores.end(), 0.0), 1, 1e-9);
  }
  EXPECT_DOUBLE_EQ(evaluate("choices", 1)["eval_accuracy"], right / 41.0);
}

TEST_F(ChoiceJob, SaysWhetherATextIsTheNextOne) {
  const JobResult result = run_berth("predict --model " + at("next") + " --text \"ban bas\" --text-pair \"dan den\"");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("Next (0."), std::string::npos) << result.out;
  EXPECT_EQ(predict("next", "next.csv", 2).size(), 90u);
  const JobResult alone = run_berth("predict --model " + at("next") + " --text \"ban bas\"");
  EXPECT_EQ(alone.exit_code, 3);
  EXPECT_NE(alone.err.find("is about two texts"), std::string::npos) << alone.err;
}

TEST_F(ChoiceJob, ChoicesComeFromAFile) {
  const JobResult text = run_berth("predict --model " + at("choices") + " --text ban");
  EXPECT_EQ(text.exit_code, 2);
  EXPECT_NE(text.err.find("multiple-choice questions come from --input"), std::string::npos) << text.err;
  const std::string line = "{\"question\": \"ban\", \"choices\": [\"ban\", \"tus\"]}\n";
  std::ofstream(at("one.jsonl")) << line;
  const JobResult piped = run_berth("predict --model " + at("choices") + " --input - < " + at("one.jsonl"));
  EXPECT_EQ(piped.exit_code, 0) << piped.err;
  EXPECT_EQ(nlohmann::json::parse(piped.out)["scores"].size(), 2u);
}

}  // namespace
}  // namespace berth::test
