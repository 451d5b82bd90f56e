#include "trainer/report/html.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "data/check.h"
#include "tests/data/dataset_file.h"
#include "trainer/report/html_parts.h"
#include "trainer/report/svg_chart.h"

namespace berth::train {
namespace {

using Json = nlohmann::ordered_json;
using data::testing::TempDir;
using page::escape_html;

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
  EXPECT_EQ(escape_html(std::string_view("a\0\x1b\tb\x7f", 6)), "a\xEF\xBF\xBD\xEF\xBF\xBD\tb\xEF\xBF\xBD")
      << "no control characters";
  EXPECT_EQ(escape_html(""), "");
}

TEST(Chart, GapsWhereValuesAreNotFinite) {
  const double nan = std::nan("");
  const std::string svg = render_chart({.title = "x", .series = {{"a", {{1, 1}, {2, 2}, {3, nan}, {4, 1}, {5, 3}}}}});
  const size_t path = svg.find("class=\"series0\" d=\"");
  EXPECT_EQ(count(svg.substr(path, svg.find('>', path) - path), "M"), 2u);
  EXPECT_EQ(count(svg, "class=\"dot"), 4u);
  EXPECT_EQ(svg.find("Mnan"), std::string::npos);
  EXPECT_EQ(render_chart({.title = "x", .series = {{"a", {{1, nan}}}}}), "");
  EXPECT_EQ(render_chart({.title = "x", .series = {}}), "");
}

TEST(Chart, OnePointAndConstantsAreDrawn) {
  for (const std::string& svg : {render_chart({.title = "x", .series = {{"a", {{7, 0}}}}}),
                                 render_chart({.title = "x", .series = {{"a", {{1, 5}, {2, 5}, {3, 5}}}}})}) {
    EXPECT_GE(count(svg, "class=\"dot"), 1u);
    for (const char* piece : {"\"nan", "\"-nan", "\"inf", "Mnan", ">nan"}) EXPECT_EQ(svg.find(piece), std::string::npos) << svg;
  }
}

TEST(Chart, LongSeriesAreThinnedAndKeepTheirSpikes) {
  Series series{.name = "a", .points = {}};
  for (int i = 0; i < 100000; ++i) series.points.emplace_back(i, i == 54321 ? 50 : 1);
  const std::string svg = render_chart({.title = "x", .series = {series}});
  EXPECT_LT(svg.size(), 20000u);
  EXPECT_NE(svg.find(">60</i>"), std::string::npos);
  EXPECT_NE(svg.find(" 166.7L"), std::string::npos) << "50 of 60, in a canvas of 1000";
}

TEST(Chart, MarksStandWhereTheyAreAndOnlyWithinTheCurve) {
  const std::string svg = render_chart(
      {.title = "x", .series = {{"a", {{0, 1}, {10, 2}}}}, .marks = {{5, "re<sumed"}, {11, "later"}, {10, "best", true}}});
  EXPECT_NE(svg.find("<b class=\"mark\" style=\"left:50.0%\"><span>re&lt;sumed</span>"), std::string::npos) << svg;
  EXPECT_NE(svg.find("<b class=\"mark good left\" style=\"left:100.0%\"><span>best</span>"), std::string::npos) << svg;
  EXPECT_EQ(svg.find("later"), std::string::npos);
}

RunReport sample_report() {
  RunReport report{.name = "my <run>"};
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

TEST(Html, HasCardsTablesOptionsAndProvenance) {
  const std::string html = render_html(sample_report());
  for (const char* piece :
       {"<title>my &lt;run&gt; · berth</title>", "step 20, epoch 2, complete · berth 0.1.0",
        "<span>validation accuracy</span><b>0.8750</b><small>step 10</small>", "<b>12.5 s</b>", "<b>1.50 GiB</b>",
        "<b>NVIDIA H200</b>", "Validation loss</th>", "<td><div>batch.size</div></td><td class=\"number\">8</td>",
        "&lt;/script&gt;&lt;b&gt;", "<th>Slurm job</th>", "<td><div>data.a.h5</div></td><td><div>abc</div></td>",
        "prefers-color-scheme: dark", "@media print"}) {
    EXPECT_NE(html.find(piece), std::string::npos) << piece;
  }
  EXPECT_EQ(count(html, "unset"), 0u);
}

TEST(Html, SinglePointsAreToldInWordsInsteadOfDrawn) {
  const std::string html = render_html(sample_report());
  EXPECT_EQ(count(html, "<svg"), 0u);
  EXPECT_NE(
      html.find("Logged at step 10 alone, so without a curve: training loss 0.5000, validation loss 0.4000, accuracy 0.8750."),
      std::string::npos);
}

// `names` at three evaluations each, of which the second is the best.
RunReport with_metrics(const std::vector<std::string>& names, double scale = 1) {
  RunReport report{.name = "r"};
  for (const int step : {10, 20, 30}) {
    LogRecord record{{"step", step}, {"epoch", step / 10.0}, {"eval_loss", step == 20 ? 0.3 : 0.4}};
    for (const std::string& name : names) record["eval_" + name] = scale * (step == 20 ? 0.75 : 0.5);
    report.records.push_back(record);
  }
  return report;
}

TEST(Html, MetricsThatShareAnAxisShareAChart) {
  const std::vector<std::string> names{"accuracy", "f1_micro", "f1_macro", "precision_micro", "recall_micro", "roc_auc_micro"};
  EXPECT_EQ(count(render_html(with_metrics(names)), "<figure>"), 2u) << "the loss, and all metrics";
  EXPECT_EQ(count(render_html(with_metrics({"exact_match", "f1"}, 100)), "<figure>"), 2u);
  EXPECT_EQ(count(render_html(with_metrics({"perplexity", "f1", "total"})), "<figure>"), 3u) << "no curve of counts";
}

TEST(Html, MarksTheBestStepAndResumesAndSaysWhichModelIsKept) {
  RunReport report = with_metrics({"accuracy"});
  report.records.push_back({{"step", 30}, {"epoch", 3.0}, {"train_runtime", 12.0}});
  report.provenance = Json::parse(R"({"options": {"metric-for-best-model": "eval_accuracy", "load-best-model-at-end": "true"},
                                      "jobs": [{"from_step": 0}, {"from_step": 15}, {"from_step": 15}]})");
  const std::string html = render_html(report);
  EXPECT_NE(html.find("<b>0.7500</b><small>best, step 20 · last 0.5000</small>"), std::string::npos);
  EXPECT_NE(html.find("The model in this folder is that of step 20, which has the best validation accuracy."), std::string::npos);
  EXPECT_EQ(count(html, "<span>resumed</span>"), 2u) << "once in each of the two charts";
  EXPECT_EQ(count(html, "<span>best</span>"), 2u);
  EXPECT_NE(html.find("20 ★"), std::string::npos);
  report.provenance["options"]["load-best-model-at-end"] = "false";
  EXPECT_NE(render_html(report).find("is that of the last step; the best validation accuracy was at step 20."),
            std::string::npos);
}

TEST(Html, ShowsTestResultsAndOnlyTheOptionsThatWereChanged) {
  RunReport report = sample_report();
  report.results["test_accuracy"] = 0.8125;
  report.provenance["options"] = {{"learning-rate", "1e-4"}, {"seed", "42"}, {"bf16", "false"}};
  report.provenance["changed_options"] = {"learning-rate"};
  const std::string html = render_html(report);
  EXPECT_NE(html.find("<span>test accuracy</span><b>0.8125</b>"), std::string::npos);
  EXPECT_NE(
      html.find("<td><div>learning-rate</div></td><td><div>1e-4</div></td></tr></table><details><summary>The other 2 options"),
      std::string::npos);
}

TEST(Html, TellsWhereTheTimeWent) {
  RunReport report = sample_report();
  report.provenance["jobs"] = Json::parse(R"([
      {"ranks": 2, "hosts": ["a", "b"], "device": "cpu", "from_step": 0, "lost_steps": 0,
       "seconds": {"start": 10, "train": 60, "wait": 20, "evaluation": 5, "checkpoint": 5, "lost": 0}, "step_seconds": {"forward": 40}},
      {"ranks": 2, "hosts": ["a", "b"], "device": "cpu", "from_step": 7, "lost_steps": 3,
       "seconds": {"start": 10, "train": 60, "wait": 20, "evaluation": 0, "checkpoint": 0, "lost": 10}}])");
  const std::string html = render_html(report);
  for (const char* piece :
       {"Goodput 60 %: the share of 3 min 20 s in 2 jobs", "Ranks waited 25 % of their steps for the slowest one",
        "Killed jobs took 3 steps with them", "training <b>2 min 00 s</b>", "forward <b>40.0 s</b>", "Lost steps before it"})
    EXPECT_NE(html.find(piece), std::string::npos) << piece;
}

TEST(Html, NeedsNothingFromOutside) {
  const std::string html = render_html(sample_report());
  for (const char* piece : {"http://", "https://", "src=", "<script", "@import", "url(", "<link"})
    EXPECT_EQ(html.find(piece), std::string::npos) << piece;
}

TEST(Html, OfARunThatHasJustBegun) {
  const std::string html = render_html({.name = "r", .records = {LogRecord{{"step", 1}, {"loss", 0.5}}}});
  EXPECT_NE(html.find("not complete"), std::string::npos);
  EXPECT_EQ(count(html, "<section>"), 0u);
}

TEST(Html, WritesTheRunsReportAndRefusesOtherFolders) {
  const TempDir run;
  EXPECT_FALSE(write_report(run.path()));
  data::testing::write_bytes(run / "metrics.jsonl", "{\"step\":1,\"loss\":0.5}\n{\"step\":2,\"loss\":0.4}\n");
  const auto path = write_report(run.path()).value();
  EXPECT_EQ(path, run / "report.html");
  EXPECT_NE(data::testing::read_bytes(path).find("<svg"), std::string::npos);
  data::testing::write_bytes(run / "provenance.json", "{\"options\":");
  EXPECT_THROW(write_report(run.path()), Error);
}

}  // namespace
}  // namespace berth::train
