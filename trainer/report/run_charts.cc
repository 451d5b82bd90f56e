#include "trainer/report/run_charts.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "data/words.h"
#include "trainer/report/html_parts.h"

namespace berth::train {
namespace {

constexpr size_t kMostSeries = kSeriesColors;  // of a chart
constexpr size_t kMostGroups = 3;              // of metrics that are shown; the others are folded

size_t finite_points(const Series& series) {
  return static_cast<size_t>(
      std::count_if(series.points.begin(), series.points.end(), [](const auto& p) { return std::isfinite(p.second); }));
}

// Names and values by step.
using Words = std::map<double, std::vector<std::string>>;

// Adds the chart to `out`, or what its single points say to `words`.
void add(Chart chart, std::string& out, Words& words) {
  std::erase_if(chart.series, [](const Series& one) { return finite_points(one) == 0; });
  const std::string html = framed(chart);
  out += html;
  if (!html.empty()) return;
  for (const Series& series : chart.series)
    for (const auto& [step, value] : series.points)
      if (std::isfinite(value)) words[step].push_back(concat(series.name, " ", page::metric_text(value)));
}

}  // namespace

std::string framed(const Chart& chart) {
  if (std::none_of(chart.series.begin(), chart.series.end(),
                   [](const Series& one) { return one.dots || finite_points(one) > 1; }))
    return "";
  std::vector<std::string> legend;
  for (const Series& series : chart.series) legend.push_back(series.name);
  return page::figure(chart.title, legend, render_chart(chart));
}

std::string render_curves(const std::vector<LogRecord>& records, const Evaluations& evaluations, const std::vector<Mark>& marks) {
  std::string shown, more;
  Words words, other_words;
  add({.title = "Loss",
       .series = {series_of(records, "loss", "training loss"), series_of(records, "eval_loss", "validation loss")},
       .marks = marks},
      shown, words);
  const auto groups = groups_by_axis(records, evaluations.metrics, kMostSeries);
  for (size_t g = 0; g < groups.size(); ++g) {
    Chart chart{
        .title = groups[g].size() > 1 ? "Metrics, validation" : groups[g].front() + ", validation", .series = {}, .marks = marks};
    for (const std::string& name : groups[g]) chart.series.push_back(series_of(records, "eval_" + name, name));
    add(std::move(chart), g < kMostGroups ? shown : more, g < kMostGroups ? words : other_words);
  }
  const auto single = [&](const char* title, const char* key, std::string& out) {
    add({.title = title, .series = {series_of(records, key, title)}, .marks = marks}, out, other_words);
  };
  single("Learning rate", "learning_rate", shown);
  single("Gradient norm", "grad_norm", shown);
  single("Tokens per second", "tokens_per_second", shown);
  single("Share of the GPUs' peak (MFU)", "mfu", shown);
  std::string told;
  for (const auto& [step, values] : words)
    told += page::note(concat("Logged at step ", page::text_of(step), " alone, so without a curve: ", joined(values, ", "), "."));
  return (shown.empty() ? "" : "<div class=\"charts\">" + shown + "</div>\n") +
         page::folded("More metrics by step", more.empty() ? "" : "<div class=\"charts\">" + more + "</div>") + told;
}

}  // namespace berth::train
