// A prepared tiny data set and model that the tests of a file share.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <memory>

#include "tests/support/job.h"

namespace berth::test {

// The same steps, with losses that are equal to rounding.
inline void expect_near(const std::map<int64_t, double>& run, const std::map<int64_t, double>& reference,
                        const std::string& what) {
  ASSERT_EQ(run.size(), reference.size()) << what;
  for (const auto& [step, loss] : reference) {
    ASSERT_TRUE(run.contains(step)) << what << ", step " << step;
    EXPECT_NEAR(run.at(step), loss, 2e-5 * loss) << what << ", step " << step;
  }
}

// 125 training and 41 validation reviews in data.h5, and a tiny BERT in model/.
class TinyJob : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    dir_ = std::make_unique<TempDir>();
    write_tiny_model(*dir_ / "model");
    write_tiny_reviews(*dir_ / "train.csv", 125);
    write_tiny_reviews(*dir_ / "validation.csv", 41, 2);
    const JobResult result = run_berth("prepare --train-file " + at("train.csv") + " --validation-file " + at("validation.csv") +
                                       " --tokenizer " + at("model") + " --max-length 32 --output " + at("data.h5"));
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
  static void TearDownTestSuite() { dir_.reset(); }

  static std::string at(const std::string& name) { return (*dir_ / name).string(); }

  // Trains into the folder `run`, logging every step.
  static JobResult train(const std::string& run, const std::string& options, int ranks = 1,
                         const std::map<std::string, std::string>& env = {}) {
    return run_berth(train_into(run, options), ranks, env);
  }
  static JobResult train(const std::string& run, const std::string& options, int ranks, const Disturbance& disturbance) {
    return run_berth(train_into(run, options), ranks, disturbance);
  }
  static std::string train_into(const std::string& run, const std::string& options) {
    return "train --model " + at("model") + " --data " + at("data.h5") + " --output-dir " + at(run) +
           " --logging-steps 1 --learning-rate 1e-3 --disable-tqdm " + options;
  }

  static inline std::unique_ptr<TempDir> dir_;
};

// Beside data.h5, which is of sequences: mlm.h5, qa.h5 and ner.h5.
class TinyTasks : public TinyJob {
 protected:
  static void SetUpTestSuite() {
    TinyJob::SetUpTestSuite();
    write_tiny_questions(at("questions.json"), 60);
    std::ofstream words(at("words.conll"));
    for (int i = 0; i < 90; ++i) words << "tus O\nban B-PER\n" << (i % 3 == 0 ? "fan I-PER\n" : "dan B-LOC\ntus O\n") << "\n";
    words.close();
    prepare("mlm", "train.csv", "validation.csv", "--max-length 24");
    prepare("qa", "questions.json", "questions.json", "--max-length 48 --doc-stride 16");
    prepare("ner", "words.conll", "words.conll", "--max-length 24");
  }

 private:
  static void prepare(const std::string& task, const std::string& train_file, const std::string& validation_file,
                      const std::string& options) {
    const JobResult result =
        run_berth("prepare --task " + task + " --train-file " + at(train_file) + " --validation-file " + at(validation_file) +
                  " --tokenizer " + at("model") + " " + options + " --output " + at(task + ".h5"));
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
};

}  // namespace berth::test
