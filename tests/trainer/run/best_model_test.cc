#include "trainer/run/best_model.h"

#include <gtest/gtest.h>

#include <limits>

#include "data/check.h"

namespace berth::train {
namespace {

// The state after evaluations with these losses, made after steps 1, 2, …
BestModel after(const std::vector<double>& losses, double threshold = 0) {
  BestModel best;
  for (size_t i = 0; i < losses.size(); ++i)
    best = judge(best, {{"loss", losses[i], MetricKind::kLoss}, {"accuracy", 1 - losses[i], MetricKind::kScore}},
                 static_cast<int64_t>(i) + 1, {.threshold = threshold});
  return best;
}

TEST(BestModel, TheLowestLossIsTheBest) {
  const BestModel best = after({0.9, 0.4, 0.6, 0.4});
  EXPECT_EQ(best.metric, 0.4);
  EXPECT_EQ(best.step, 2) << "of two that are equal, the first";
  EXPECT_EQ(best.without_improvement, 2);
}

TEST(BestModel, ByNameWithOrWithoutPrefixAndInTheDirectionOfItsKind) {
  for (const char* name : {"accuracy", "eval_accuracy"}) {
    BestModel best = judge({}, {{"loss", 1, MetricKind::kLoss}, {"accuracy", 0.5, MetricKind::kScore}}, 10, {.metric = name});
    best = judge(best, {{"loss", 0.5, MetricKind::kLoss}, {"accuracy", 0.4, MetricKind::kScore}}, 20, {.metric = name});
    EXPECT_EQ(best.step, 10) << name;
  }
  BestModel best = judge({}, {{"perplexity", 3, MetricKind::kLoss}}, 1, {.metric = "perplexity"});
  EXPECT_EQ(judge(best, {{"perplexity", 2, MetricKind::kLoss}}, 2, {.metric = "perplexity"}).step, 2);
  EXPECT_EQ(judge(best, {{"perplexity", 2, MetricKind::kLoss}}, 2, {.metric = "perplexity", .greater = true}).step, 1)
      << "as the user says";
}

TEST(BestModel, AnUnknownMetricIsAUsageErrorThatNamesTheOthers) {
  try {
    judge({}, {{"loss", 1, MetricKind::kLoss}, {"accuracy", 0.5, MetricKind::kScore}}, 1, {.metric = "f1"});
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kUsage);
    EXPECT_NE(std::string(error.what()).find("loss, accuracy"), std::string::npos) << error.what();
  }
}

TEST(BestModel, WhatIsNotFiniteIsNeverTheBest) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(after({nan}).step, 0);
  const BestModel best = after({0.5, nan, 0.4});
  EXPECT_EQ(best.step, 3);
  EXPECT_EQ(after({0.5, nan, nan}).without_improvement, 2);
}

TEST(BestModel, AnImprovementWithinTheThresholdIsTheBestModelButNoReasonToGoOn) {
  const BestModel best = after({0.5, 0.45, 0.42}, 0.1);
  EXPECT_EQ(best.step, 3);
  EXPECT_EQ(best.without_improvement, 2);
}

TEST(BestModel, StopsAfterAsManyEvaluationsAsThePatienceHas) {
  EXPECT_FALSE(after({0.5, 0.6}).stops_early(2));
  EXPECT_TRUE(after({0.5, 0.6, 0.7}).stops_early(2));
  EXPECT_FALSE(after({0.5, 0.6, 0.7}).stops_early(0)) << "off";
}

}  // namespace
}  // namespace berth::train
