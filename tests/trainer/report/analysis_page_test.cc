#include "trainer/report/analysis_page.h"

#include <gtest/gtest.h>

#include "tests/trainer/report/sample_pages.h"
#include "trainer/report/analysis_text.h"
#include "trainer/report/comparison.h"

namespace berth::train {
namespace {

using Json = nlohmann::ordered_json;
using report_test::classes, report_test::hostile_run;

size_t count(const std::string& text, const std::string& piece) {
  size_t found = 0;
  for (size_t at = text.find(piece); at != std::string::npos; at = text.find(piece, at + piece.size())) ++found;
  return found;
}

TEST(AnalysisPage, SmallMatricesAreNumbers) {
  const std::string html = render_analysis(classes(3));
  EXPECT_EQ(count(html, "<td class=\"right\""), 3u);
  EXPECT_EQ(count(html, "<td class=\"wrong\""), 6u);
  EXPECT_NE(html.find(">40</td>"), std::string::npos);
  EXPECT_EQ(count(html, "<svg class=\"heat\""), 0u);
}

TEST(AnalysisPage, LargeMatricesAreAPictureWithTheMostConfusedPairs) {
  const std::string html = render_analysis(classes(77));
  EXPECT_EQ(count(html, "<svg class=\"heat\""), 1u);
  EXPECT_EQ(count(html, "<rect class=\"right\""), 77u);
  EXPECT_NE(html.find("Most confused"), std::string::npos);
  EXPECT_NE(html.find("The other 57"), std::string::npos) << "classes are folded but for the worst";
  EXPECT_LT(html.size(), 100000u);
}

TEST(AnalysisPage, ThousandsOfClassesAreNotDrawn) {
  const std::string html = render_analysis(classes(2000));
  EXPECT_EQ(count(html, "<rect"), 0u);
  EXPECT_NE(html.find("Most confused"), std::string::npos);
}

TEST(AnalysisPage, WhatStandsInDataIsText) {
  const std::string html = render_html(hostile_run());
  for (const char* piece : {"<script", "<img", "onerror=\"", "</style><a", "javascript:alert(1)\""})
    EXPECT_EQ(html.find(piece), std::string::npos) << piece;
  EXPECT_NE(html.find("&lt;script&gt;alert(1)&lt;/script&gt;"), std::string::npos);
}

TEST(AnalysisPage, TakesAnythingForAFile) {
  for (const char* text :
       {"null", "[]", "3", R"({"classes": 3, "confusion": {"names": ["a"], "cells": [[0, 1, 5], [0], "x", [-1, 0, 1]]}})",
        R"({"confusion": {"names": {"a": 1}, "cells": [[0, 0, 5]]}, "scores": {"names": [], "counts": [[1e999, "x"], 3]}})",
        R"({"mistakes": [3, {"text": {"a": []}, "score": "x", "actual": [[]]}], "points": [[1], [1, "x"]], "lengths": [0]})",
        R"({"calibration": {"bins": [{"confidence": 1}, 3, {"confidence": null, "accuracy": 1}]}})"})
    EXPECT_EQ(render_analysis(Json::parse(text, nullptr, false)).find("nan"), std::string::npos) << text;
}

TEST(AnalysisText, TablesForATerminal) {
  EXPECT_EQ(analysis_text(nullptr), "");
  EXPECT_EQ(analysis_text(Json::parse(R"({"calibration": {"error": 0.1, "bins": []}})")), "");
  const Json analysis = Json::parse(R"({"positive": "ham", "classes": [
      {"name": "spam", "precision": 0.5, "recall": 1.0, "f1": 0.66667, "support": 1, "predicted": 2},
      {"name": "ham", "precision": 1.0, "recall": 0.75, "f1": 0.857142857, "support": 4, "predicted": 3}],
      "confusion": {"names": ["spam", "ham"], "cells": [[0, 0, 1], [1, 0, 1], [1, 1, 3]]},
      "mistakes": [{"row": 17, "text": "Call\nme | now", "actual": ["ham"], "predicted": [], "score": 0.98765}]})");
  EXPECT_EQ(analysis_text(analysis),
            "each class (f1, precision and recall of the whole are those of ham):\n"
            "|      | precision | recall | f1     | support | predicted |\n"
            "| :--: | :-------: | :----: | :----: | :-----: | :-------: |\n"
            "| spam | 0.5000    | 1.0000 | 0.6667 | 1       | 2         |\n"
            "| ham  | 1.0000    | 0.7500 | 0.8571 | 4       | 3         |\n"
            "who was taken for whom:\n"
            "| actual \\ predicted | spam | ham |\n"
            "| :----------------: | :--: | :-: |\n"
            "| spam               | 1    | 0   |\n"
            "| ham                | 1    | 3   |\n"
            "the surest mistakes:\n"
            "| row | score  | actual | predicted | text          |\n"
            "| :-: | :----: | :----: | :-------: | :-----------: |\n"
            "| 17  | 0.9877 | ham    |           | Call me / now |");
  EXPECT_NE(analysis_text(classes(77)).find("… and 47 more"), std::string::npos);
  EXPECT_EQ(analysis_text(classes(77)).find("actual \\ predicted"), std::string::npos) << "77 columns are no table";
}

TEST(Comparison, ShowsTheOptionsThatDifferAndTheBestMetrics) {
  std::vector<RunReport> runs{hostile_run(), hostile_run()};
  runs[0].provenance["options"] = {{"learning-rate", "1e-4"}, {"seed", "1"}, {"output-dir", "a"}};
  runs[1].provenance["options"] = {{"learning-rate", "1e-5"}, {"seed", "1"}, {"output-dir", "b"}};
  const std::string html = render_comparison(runs);
  EXPECT_NE(html.find("<th>learning-rate</th>"), std::string::npos);
  EXPECT_EQ(html.find("<th>seed</th>"), std::string::npos);
  EXPECT_EQ(html.find("<th>output-dir</th>"), std::string::npos);
  EXPECT_NE(html.find("0.8000 (step 40)"), std::string::npos);
}

TEST(Comparison, OfASweepSaysWhichOptionMatters) {
  const Json sweep = report_test::sweep();
  const std::string html = render_sweep("nowhere", sweep);
  EXPECT_NE(html.find("<b>0.8000</b>"), std::string::npos);
  const size_t rate = html.find("<h3>learning-rate</h3>"), batch = html.find("<h3>batch</h3>");
  EXPECT_LT(rate, batch) << "the option that makes the larger difference is first";
  EXPECT_NE(html.find("Means differ by up to 0.1500."), std::string::npos);
  EXPECT_NE(html.find("<th>Trial</th><th>Options</th>"), std::string::npos) << html;
  EXPECT_EQ(render_sweep("nowhere", Json::parse(R"({"trials": [{"folder": "../..", "metrics": {"m": 1}}], "metric": "m"})"))
                .find("<figure"),
            std::string::npos);
}

}  // namespace
}  // namespace berth::train
