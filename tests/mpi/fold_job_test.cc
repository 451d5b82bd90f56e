// Cross-validation: a run on a fold is the run on the two files that the fold stands for.
#include <fstream>

#include "data/store/folds.h"
#include "tests/support/tiny_job.h"

namespace berth::test {
namespace {

// Reviews in windows, which are numbered anew in each fold, cut into three folds in folds.h5; and what fold 1 means, as a training and a
// validation file, in two.h5.
class FoldJob : public TinyJob {
 protected:
  static void SetUpTestSuite() {
    TinyJob::SetUpTestSuite();
    prepare("train.csv", "folds.h5", "--folds 3");
    const data::FoldSplits splits = data::open_fold(*data::Dataset::open(at("folds.h5")), 1);
    write_rows("others.csv", *splits.others);
    write_rows("own.csv", *splits.fold);
    prepare("others.csv", "two.h5", "--validation-file " + at("own.csv"));
    ASSERT_EQ(train_on("folds.h5", "fold", "--fold 1").exit_code, 0);
  }

  static void prepare(const std::string& csv, const std::string& data, const std::string& options) {
    const JobResult result = run_berth("prepare --train-file " + at(csv) + " --tokenizer " + at("model") +
                                       " --max-length 12 --doc-stride 4 --output " + at(data) + " " + options);
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
  // The rows of train.csv that are in `split`.
  static void write_rows(const std::string& csv, const data::Split& split) {
    std::ifstream in(at("train.csv"));
    std::ofstream out(at(csv));
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    out << lines[0] << "\n";
    for (int64_t i = 0; i < split.size(); ++i) out << lines.at(static_cast<size_t>(split.rows(std::span(&i, 1))[0])) << "\n";
  }
  static JobResult train_on(const std::string& data, const std::string& run, const std::string& options, int ranks = 1,
                            const std::map<std::string, std::string>& env = {}) {
    return train(run,
                 "--data " + at(data) +
                     " --max-steps 6 --global-batch-size 12 --class-weights balanced --eval-strategy steps --eval-steps 3 "
                     "--save-steps 2 " +
                     options,
                 ranks, env);
  }
  static nlohmann::json untimed(nlohmann::json metrics) {
    for (const char* timed : {"eval_runtime", "eval_samples_per_second", "eval_steps_per_second"}) metrics.erase(timed);
    return metrics;
  }
  static nlohmann::json results(const std::string& run) {
    return untimed(nlohmann::json::parse(read_bytes(at(run) + "/eval_results.json")));
  }
  static nlohmann::json evaluate(const std::string& options, int ranks = 1, const std::string& model = "fold") {
    const JobResult result = run_berth("evaluate --model " + at(model) + " --data " + options, ranks);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return untimed(nlohmann::json::parse(result.out));
  }
  static void expect_refused(const JobResult& result, int code, const std::string& says) {
    EXPECT_EQ(result.exit_code, code) << result.err;
    EXPECT_NE(result.err.find(says), std::string::npos) << result.err;
  }
};

// Dropout, which is keyed by a window's number, balanced weights and evaluations among it.
TEST_F(FoldJob, SameBitsAsTheTwoFilesThatItMeans) {
  ASSERT_EQ(train_on("two.h5", "two", "").exit_code, 0);
  ASSERT_EQ(losses(at("fold")).size(), 6u);
  EXPECT_EQ(losses(at("fold")), losses(at("two")));
  EXPECT_TRUE(read_bytes(at("fold") + "/model.safetensors") == read_bytes(at("two") + "/model.safetensors"));
  EXPECT_EQ(results("fold"), results("two"));
  const nlohmann::json expected = evaluate(at("two.h5"));
  EXPECT_GT(expected["eval_samples"], 40);
  for (const int ranks : {1, 2, 3}) EXPECT_EQ(evaluate(at("folds.h5") + " --fold 1", ranks), expected) << ranks << " ranks";
  EXPECT_NE(evaluate(at("folds.h5") + " --fold 0"), expected);
}

TEST_F(FoldJob, SameLossesOnAnyRankCount) {
  for (const int ranks : {2, 3}) {
    const std::string run = "fold" + std::to_string(ranks);
    const JobResult result = train_on("folds.h5", run, "--fold 1 --save-strategy no", ranks);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    expect_near(losses(at(run)), losses(at("fold")), run);
  }
}

TEST_F(FoldJob, KilledAndResumedEqualsUninterruptedAndAnotherCutIsRefused) {
  EXPECT_NE(train_on("folds.h5", "killed", "--fold 1", 1, {{"BERTH_FAILPOINT", "step@5"}}).exit_code, 0);
  expect_refused(train_on("folds.h5", "killed", "--fold 2"), 2, "(--fold 1, now 2)");
  expect_refused(train_on("folds.h5", "killed", "--eval-strategy no"), 2, "--fold 1, now null");
  expect_refused(train_on("two.h5", "killed", ""), 2, "--data holds other samples");
  prepare("train.csv", "other.h5", "--folds 3 --seed 7");
  expect_refused(train_on("other.h5", "killed", "--fold 1"), 2, "(--data holds other samples)");
  const JobResult again = train_on("folds.h5", "killed", "--fold 1");
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(losses(at("killed")), losses(at("fold")));
  EXPECT_TRUE(read_bytes(at("killed") + "/model.safetensors") == read_bytes(at("fold") + "/model.safetensors"));
  expect_refused(train_on("folds.h5", "killed", "--fold 0"), 2, "(--fold 1, now 0)");
}

TEST_F(FoldJob, WithoutAFoldAllSamplesAreTrainedOn) {
  prepare("train.csv", "uncut.h5", "");
  for (const char* data : {"folds", "uncut"})
    ASSERT_EQ(train_on(data + std::string(".h5"), "all_" + std::string(data), "--eval-strategy no --save-strategy no").exit_code,
              0);
  EXPECT_TRUE(read_bytes(at("all_folds") + "/model.safetensors") == read_bytes(at("all_uncut") + "/model.safetensors"));
  expect_refused(train_on("folds.h5", "no", ""), 3,
                 "has no validation split, but --eval-strategy or --eval-on-start asks for evaluations: give a --fold");
  expect_refused(train_on("uncut.h5", "no", "--fold 0"), 3, "is not cut into folds; prepare it with --folds");
  expect_refused(train_on("folds.h5", "no", "--fold 3", 2), 2, "has the folds 0 to 2");
  expect_refused(run_berth("evaluate --model " + at("fold") + " --data " + at("folds.h5") + " --fold -1"), 2,
                 "has the folds 0 to 2");
  expect_refused(run_berth("evaluate --model " + at("fold") + " --data " + at("folds.h5") + " --fold 1 --split train"), 2,
                 "--fold");
}

TEST_F(FoldJob, TheRecordsSayWhichFold) {
  const std::string card = read_bytes(at("fold") + "/README.md");
  for (const char* says : {"\nOn fold 1:\n- loss: ", "- fold: 1 of 0 to 2\n", "train without fold 1 ", " --fold 1 "})
    EXPECT_NE(card.find(says), std::string::npos) << says << card;
  EXPECT_EQ(nlohmann::json::parse(read_bytes(at("fold") + "/provenance.json"))["options"]["fold"], "1");
  const JobResult inspected = run_berth("inspect --json " + at("folds.h5"));
  const nlohmann::json folds = nlohmann::json::parse(inspected.out)["folds"];
  ASSERT_EQ(folds.size(), 3u);
  EXPECT_EQ(folds[0], (nlohmann::json{{"fold", 0}, {"samples", 42}, {"evaluated", 42}}));
  EXPECT_EQ(folds[2], (nlohmann::json{{"fold", 2}, {"samples", 41}, {"evaluated", 41}}));
}

TEST_F(FoldJob, AFoldOfQuestionsHasWholeQuestions) {
  write_tiny_questions(at("questions.json"), 40);
  const JobResult prepared = run_berth("prepare --task qa --folds 4 --train-file " + at("questions.json") + " --tokenizer " +
                                       at("model") + " --max-length 48 --doc-stride 16 --output " + at("qa.h5"));
  ASSERT_EQ(prepared.exit_code, 0) << prepared.err;
  const std::string options =
      "--fold 3 --global-batch-size 12 --max-steps 4 --eval-strategy epoch --save-strategy no --data " + at("qa.h5");
  for (const int ranks : {1, 3}) ASSERT_EQ(train("qa" + std::to_string(ranks), options, ranks).exit_code, 0);
  expect_near(losses(at("qa3")), losses(at("qa1")), "3 ranks");
  const nlohmann::json metrics = evaluate(at("qa.h5") + " --fold 3 --version-2-with-negative", 2, "qa1");
  EXPECT_EQ(metrics["eval_total"], 10);
  EXPECT_GT(metrics["eval_samples"], 10) << "windows";
}

}  // namespace
}  // namespace berth::test
