// What a run says of itself first.
#include "trainer/run/introduction.h"

#include "tests/trainer/run/tiny_run.h"

namespace berth::train {
namespace {

class Introduction : public TinyRun {
 protected:
  std::vector<std::string> lines(const TrainOptions& options) {
    const RunFolder folder(options, *comm_);
    TrainSetup setup = set_up(options, &folder, *comm_);
    setup.state.environment = {{"ranks", 1}, {"threads", {2}}, {"device", "cpu"}};
    setup.state.train_batch_size = options.batch.per_device_train_batch_size;
    return introduction(options, setup);
  }
};

TEST_F(Introduction, TellsDataModelAndSteps) {
  TrainOptions o = options();
  o.batch.per_device_train_batch_size = 2;
  o.warmup_steps = 3;
  o.model_options.freeze = {"embeddings"};
  o.eval_save.eval_strategy = Strategy::kEpoch;
  const std::vector<std::string> told = lines(o);
  ASSERT_EQ(told.size(), 3u);
  EXPECT_EQ(told[0], o.data.string() +
                         ": sequence-classification, 60 samples of train to learn from, 21 samples of validation to "
                         "evaluate; 2 labels: negative, positive");
  EXPECT_NE(told[1].find("BertForSequenceClassification, 0."), std::string::npos) << told[1];
  EXPECT_NE(told[1].find(" are trained, from " + o.model), std::string::npos) << told[1];
  EXPECT_EQ(told[2],
            "fp32 on cpu, 1 rank of 2 threads; 6 samples a step in 3 micro-batches of each rank, 10 steps, 1 epoch; learning "
            "rate 0.001, "
            "linear after 3 steps of warm-up");
  o.eval_save.eval_strategy = Strategy::kNo;
  o.overwrite_output_dir = true;
  EXPECT_NE(lines(o)[0].find("learn from, no evaluation;"), std::string::npos);
}

TEST(WarmUpWarning, IsOfAWarmUpThatTheRunDoesNotOutlast) {
  Horizon horizon;
  horizon.total_steps = 30;
  horizon.warmup_steps = 29;
  EXPECT_EQ(warm_up_warning(horizon, 1e-3), "");
  horizon.warmup_steps = 60;
  EXPECT_NE(warm_up_warning(horizon, 1e-3).find("it never comes above 0.0004833, let alone to 0.001"), std::string::npos)
      << warm_up_warning(horizon, 1e-3);
  horizon.warmup_steps = 30;  // the last step's learning rate is the 29th
  EXPECT_NE(warm_up_warning(horizon, 1e-3).find("it never comes above 0.0009667, let alone to 0.001"), std::string::npos)
      << warm_up_warning(horizon, 1e-3);
  horizon.schedule = ScheduleType::kConstant;
  EXPECT_EQ(warm_up_warning(horizon, 1e-3), "");
}

}  // namespace
}  // namespace berth::train
