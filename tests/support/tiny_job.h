// A prepared tiny data set and model that the tests of a file share.
#pragma once

#include <gtest/gtest.h>

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
    return run_berth("train --model " + at("model") + " --data " + at("data.h5") + " --output-dir " + at(run) +
                         " --logging-steps 1 --learning-rate 1e-3 --disable-tqdm " + options,
                     ranks, env);
  }

  static inline std::unique_ptr<TempDir> dir_;
};

}  // namespace berth::test
