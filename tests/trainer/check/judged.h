// What tests of findings ask.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "trainer/check/finding.h"

namespace berth::preflight {

inline void expect(const Finding& finding, Level level, const std::string& found, const std::string& remedy = "") {
  EXPECT_STREQ(level_name(finding.level), level_name(level)) << finding.found;
  EXPECT_NE(finding.found.find(found), std::string::npos) << finding.found;
  EXPECT_NE(finding.remedy.find(remedy), std::string::npos) << finding.remedy;
  EXPECT_EQ(level <= Level::kUnknown, finding.remedy.empty()) << finding.remedy;
}

// One finding and no other.
inline void expect_one(const Findings& findings, Level level, const std::string& found, const std::string& remedy = "") {
  ASSERT_EQ(findings.size(), 1u) << json_of(findings);
  expect(findings[0], level, found, remedy);
}

}  // namespace berth::preflight
