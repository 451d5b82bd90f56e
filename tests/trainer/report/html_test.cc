#include "trainer/report/html.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "data/check.h"
#include "tests/data/dataset_file.h"
#include "trainer/report/svg_chart.h"

namespace berth::train {
namespace {

using Json = nlohmann::ordered_json;
using data::testing::TempDir;

size_t count(const std::string& text, const std::string& piece) {
  size_t found = 0;
  for (size_t at = text.find(piece); at != std::string::npos; at = text.find(piece, at + piece.size())) ++found;
  return found;
}

TEST(AxisTicks, AreRoundAndCoverTheRange) {
  EXPECT_EQ(axis_ticks(0, 100, 5), (std::vector<double>{0, 20, 40, 60, 80, 100}));
  EXPECT_EQ(axis_ticks(-1, 1, 4), (std::vector<double>{-1, -0.5, 0, 0.5, 1}));
  EXPECT_EQ(axis_ticks(3, 3, 4), std::vector<double>{3});
  for (const double high : {1e-8, 0.37, 5.1, 8812.0}) {
    const std::vector<double> ticks = axis_ticks(0.1 * high, high, 4);
    EXPECT_LE(ticks.front(), 0.1 * high);
    EXPECT_GE(ticks.back(), high * (1 - 1e-9));
    EXPECT_LE(ticks.size(), 8u);
  }
}

TEST(EscapeHtml, LeavesNoMarkupAndOnlyUtf8) {
  EXPECT_EQ(escape_html("<a href='x'>\"é\" & b</a>"), "&lt;a href=&#39;x&#39;&gt;&quot;é&quot; &amp; b&lt;/a&gt;");
  EXPECT_EQ(escape_html("a\xff\xfe"
                        "b"),
            "a\xEF\xBF\xBD\xEF\xBF\xBD"
            "b");
  EXPECT_EQ(escape_html(""), "");
}

TEST(Chart, GapsWhereValuesAreNotFinite) {
  const double nan = std::nan("");
  const std::string svg = render_svg({.title = "x", .series = {{"a", {{1, 1}, {2, 2}, {3, nan}, {4, 1}, {5, 3}}}}});
  const size_t path = svg.find(" d=\"");
  EXPECT_EQ(count(svg.substr(path, svg.find('"', path + 4) - path), "M"), 2u);
  EXPECT_EQ(count(svg, "<circle"), 4u);
  EXPECT_EQ(svg.find("Mnan"), std::string::npos);
  EXPECT_EQ(render_svg({.title = "x", .series = {{"a", {{1, nan}}}}}), "");
  EXPECT_EQ(render_svg({.title = "x", .series = {}}), "");
}

TEST(Chart, OnePointAndConstantsAreDrawn) {
  for (const std::string& svg : {render_svg({.title = "x", .series = {{"a", {{7, 0}}}}}),
                                 render_svg({.title = "x", .series = {{"a", {{1, 5}, {2, 5}, {3, 5}}}}})}) {
    EXPECT_GE(count(svg, "<circle"), 1u);
    for (const char* piece : {"\"nan", "\"-nan", "\"inf", "Mnan", ">nan"}) EXPECT_EQ(svg.find(piece), std::string::npos) << svg;
  }
}

TEST(Chart, LongSeriesAreThinnedAndKeepTheirSpikes) {
  Series series{.name = "a", .points = {}};
  for (int i = 0; i < 100000; ++i) series.points.emplace_back(i, i == 54321 ? 50 : 1);
  const std::string svg = render_svg({.title = "x", .series = {series}});
  EXPECT_LT(svg.size(), 20000u);
  EXPECT_NE(svg.find(">60</text>"), std::string::npos);
  EXPECT_NE(svg.find(" 44.0L"), std::string::npos) << "50 of 60, in 204 pixels below 10";
}

RunReport sample_report() {
  RunReport report{.name = "my <run>", .records = {}, .results = nullptr, .provenance = nullptr};
  report.records = {
      {{"step", 10}, {"epoch", 1.0}, {"loss", 0.5}, {"learning_rate", 5e-5}, {"grad_norm", 1.0}},
      {{"step", 10}, {"epoch", 1.0}, {"eval_loss", 0.4}, {"eval_accuracy", 0.875}, {"eval_PER_number", 7}, {"eval_runtime", 1.0}},
      {{"step", 20}, {"epoch", 2.0}, {"train_loss", 0.45}, {"train_runtime", 12.0}}};
  report.results = Json::parse(
      R"({"eval_accuracy": 0.875, "train_runtime": 12.5, "train_mem_gpu_peak": 1610612736, "train_device": "NVIDIA H200", "eval_samples_per_second": 99.25})");
  report.provenance =
      Json::parse(R"({"berth_version": "berth 0.1.0", "options": {"model": "</script><b>", "batch": {"size": 8}, "unset": null},
                                      "jobs": [{"slurm_job_id": "17", "ranks": 4}], "data": {"a.h5": "abc"}})");
  return report;
}

TEST(Html, HasCurvesTablesOptionsAndProvenance) {
  const std::string html = render_html(sample_report());
  for (const char* piece :
       {"<title>my &lt;run&gt; · berth</title>", "step 20, epoch 2, complete · berth 0.1.0",
        "<b>0.875</b><span>eval_accuracy</span>", "<b>12.5 s</b>", "<b>1.50 GiB</b>", "<b>NVIDIA H200</b>", ">Loss<span",
        "Validation: accuracy", "Validation: PER_number", "Learning rate", "Gradient norm", "<th>Validation Loss</th>",
        "<th>batch.size</th><td class=\"number\">8</td>", "&lt;/script&gt;&lt;b&gt;", "<th>slurm_job_id</th>",
        "<th>data.a.h5</th><td>abc</td>", "prefers-color-scheme: dark"}) {
    EXPECT_NE(html.find(piece), std::string::npos) << piece;
  }
  EXPECT_EQ(count(html, "unset"), 0u);
  EXPECT_EQ(count(html, "<svg"), 5u) << "no curve of times";
}

TEST(Html, NeedsNothingFromOutside) {
  const std::string html = render_html(sample_report());
  for (const char* piece : {"http://", "https://", "src=", "<script", "@import", "url(", "<link"})
    EXPECT_EQ(html.find(piece), std::string::npos) << piece;
}

TEST(Html, OfARunThatHasJustBegun) {
  const std::string html =
      render_html({.name = "r", .records = {LogRecord{{"step", 1}, {"loss", 0.5}}}, .results = nullptr, .provenance = nullptr});
  EXPECT_NE(html.find("not complete"), std::string::npos);
  EXPECT_EQ(count(html, "<section>"), 0u);
}

TEST(Html, WritesTheRunsReportAndRefusesOtherFolders) {
  const TempDir run;
  EXPECT_FALSE(write_report(run.path()));
  data::testing::write_bytes(run / "metrics.jsonl", "{\"step\":1,\"loss\":0.5}\n");
  const auto path = write_report(run.path()).value();
  EXPECT_EQ(path, run / "report.html");
  EXPECT_NE(data::testing::read_bytes(path).find("<svg"), std::string::npos);
  data::testing::write_bytes(run / "provenance.json", "{\"options\":");
  EXPECT_THROW(write_report(run.path()), Error);
}

}  // namespace
}  // namespace berth::train
