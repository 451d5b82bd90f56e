// A tiny data set and model that tests of a run's pieces share, on one rank without MPI.
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "data/prepare/prepare.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_files.h"
#include "trainer/comm/communicator.h"
#include "trainer/run/train_options.h"

namespace berth::train {

// 60 training and 21 validation reviews in data.h5, and a tiny BERT in model/.
class TinyRun : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    files_ = std::make_unique<test::TempDir>();
    test::write_tiny_model(*files_ / "model");
    test::write_tiny_reviews(*files_ / "train.csv", 60);
    test::write_tiny_reviews(*files_ / "validation.csv", 21, 2);
    data::prepare({.train_file = *files_ / "train.csv",
                   .validation_file = *files_ / "validation.csv",
                   .tokenizer = *files_ / "model",
                   .output = *files_ / "data.h5",
                   .max_length = 32,
                   .threads = 1});
  }
  static void TearDownTestSuite() { files_.reset(); }

  // Ten steps of six samples, into run/ of the test's own folder; nothing evaluated or saved but the final model.
  TrainOptions options() const {
    TrainOptions o;
    o.model = (*files_ / "model").string();
    o.data = *files_ / "data.h5";
    o.output_dir = run();
    o.batch.global_batch_size = 6;
    o.max_steps = 10;
    o.optimizer.learning_rate = 1e-3;
    o.eval_save.save_strategy = Strategy::kNo;
    o.logging.logging_steps = 1;
    return o;
  }
  std::filesystem::path run() const { return folder_ / "run"; }
  std::filesystem::path checkpoint(int64_t step) const { return run() / ("checkpoint-" + std::to_string(step)); }

  static inline std::unique_ptr<test::TempDir> files_;
  test::TempDir folder_;
  std::unique_ptr<comm::Communicator> comm_ = comm::make_local_communicator();
};

// What `action` throws: its exit code and message; kOk and "" if nothing.
struct Outcome {
  ExitCode code = ExitCode::kOk;
  std::string message;
};
template <class Action>
Outcome outcome_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  return {};
}

}  // namespace berth::train
