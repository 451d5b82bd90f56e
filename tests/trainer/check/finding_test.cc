#include "trainer/check/finding.h"

#include <gtest/gtest.h>

namespace berth::preflight {
namespace {

TEST(Finding, SummaryAndJson) {
  const Findings none{{.name = "a", .found = "fine"}};
  EXPECT_EQ(summary(none), "1 ok");
  EXPECT_TRUE(json_of(none)["ok"]);
  const Findings some{{.level = Level::kError, .name = "a", .found = "bad", .remedy = "do"},
                      {.level = Level::kError, .name = "b"},
                      {.level = Level::kWarning, .name = "c"},
                      unknown("d", "nobody says"),
                      {.name = "e"}};
  EXPECT_EQ(summary(some), "2 errors, 1 warning, 1 not known, 1 ok");
  const auto json = json_of(some);
  EXPECT_FALSE(json["ok"]);
  EXPECT_EQ(json["findings"][0]["level"], "error");
  EXPECT_EQ(json["findings"][0]["remedy"], "do");
  EXPECT_EQ(json["findings"][3]["level"], "unknown");
  EXPECT_EQ(json["findings"][3]["found"], "not known: nobody says");
}

TEST(Finding, NumbersInWords) {
  for (const auto& [seconds, words] : {std::pair(14e-6, "14 us"),
                                       {0.0074, "7.4 ms"},
                                       {0.5, "0.5 s"},
                                       {52, "52 s"},
                                       {754, "13 min"},
                                       {12600, "3.5 h"},
                                       {864000, "10 days"}})
    EXPECT_EQ(in_words(seconds), words);
  EXPECT_EQ(bytes_in_words(2048), "2.05 kB");
  EXPECT_EQ(bytes_in_words(90.9e6), "90.9 MB");
  EXPECT_EQ(bytes_in_words(4e9), "4 GB");
  EXPECT_EQ(percent(0.0004), "under 0.1 %");
  EXPECT_EQ(percent(0.123), "12.3 %");
  EXPECT_EQ(percent(1), "100 %");
}

}  // namespace
}  // namespace berth::preflight
