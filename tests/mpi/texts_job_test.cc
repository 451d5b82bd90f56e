// Texts that are cleaned or multiplied on their way into the data set, from the raw file to the prediction.
#include <fstream>

#include "tests/support/tiny_job.h"

namespace berth::test {
namespace {

class TextsJob : public TinyJob {
 protected:
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

}  // namespace
}  // namespace berth::test
