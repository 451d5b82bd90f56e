#include "launcher/csv_lines.h"

#include <gtest/gtest.h>

namespace berth::launch {
namespace {

TEST(CsvLines, ColumnsAreTheFirstRowsNames) {
  CsvLines csv;
  EXPECT_EQ(csv({{"row", 1}, {"text", "a, \"b\"\nc"}}, {{"scores", {{"x", 0.25}, {"y,z", 1}}}, {"labels", {"p", "q"}}}),
            "row,text,scores.x,\"scores.y,z\",labels\n1,\"a, \"\"b\"\"\nc\",0.25,1,\"[\"\"p\"\",\"\"q\"\"]\"\n");
  EXPECT_EQ(csv({{"text", "plain"}, {"row", 2}, {"other", 3}}, {{"labels", nullptr}, {"more", 3}}), "2,plain,,,\n");
}

TEST(CsvLines, WhatIsPredictedGivesWayToAGivenName) {
  CsvLines csv;
  EXPECT_EQ(csv({{"", 0}, {"", 1}, {"label", "x"}, {"predicted_label", "y"}}, {{"label", "z"}, {"score", 0.5}}),
            ",,label,predicted_label,predicted_predicted_label,score\n0,1,x,y,z,0.5\n")
      << "of equal names each keeps its own";
}

}  // namespace
}  // namespace berth::launch
