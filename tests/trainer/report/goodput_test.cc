#include "trainer/report/goodput.h"

#include <gtest/gtest.h>

namespace berth::train {
namespace {

using Json = nlohmann::ordered_json;

TEST(GoodputTest, IsTheShareOfTrainingThatStayed) {
  const Json first{{"seconds", {{"start", 4}, {"train", 57}, {"wait", 3}, {"evaluation", 10}, {"checkpoint", 1}, {"lost", 0}}},
                   {"lost_steps", 0}};
  // Of a berth that did not know what ranks wait for.
  const Json second{{"seconds", {{"start", 5}, {"train", 20}, {"evaluation", 0}, {"checkpoint", 0}, {"lost", 25}}},
                    {"lost_steps", 7}};
  const auto goodput = goodput_of(Json{{"jobs", {first, second, {{"from_step", 3}}}}});
  ASSERT_TRUE(goodput);
  EXPECT_EQ(goodput->jobs, 2) << "an earlier berth's have no seconds";
  EXPECT_EQ(goodput->lost_steps, 7);
  EXPECT_DOUBLE_EQ(goodput->total(), 125);
  EXPECT_DOUBLE_EQ(goodput->ratio(), 77.0 / 125);
}

TEST(GoodputTest, WhatSaysNothingIsNone) {
  for (const char* text : {"null", "[]", "{}", R"({"jobs": 3})", R"({"jobs": []})", R"({"jobs": [1, null, {"seconds": 4}]})",
                           R"({"jobs": [{"seconds": {"train": "long", "start": null, "lost": -1}, "lost_steps": "x"}]})"})
    EXPECT_FALSE(goodput_of(Json::parse(text))) << text;
  EXPECT_TRUE(goodput_of(Json::parse(R"({"jobs": [{"seconds": {"train": 1e308, "start": 1e308}, "lost_steps": 1e300}]})")));
}

}  // namespace
}  // namespace berth::train
