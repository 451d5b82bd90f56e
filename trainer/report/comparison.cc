#include "trainer/report/comparison.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "data/check.h"
#include "data/words.h"
#include "trainer/report/evaluations.h"
#include "trainer/report/html_parts.h"
#include "trainer/report/run_charts.h"

namespace berth::train {
namespace {

using page::Json, page::Row;

constexpr size_t kMostCurves = kSeriesColors;  // runs whose curves are drawn
constexpr size_t kMostMetrics = 6;             // columns, and charts
constexpr size_t kMostNamed = 5;               // trials of the ensemble
constexpr size_t kMostOpen = 20;               // rows of trials; the others are folded

struct Run {
  const RunReport* report;
  Evaluations evaluations;
};

std::vector<Run> looked_at(const std::vector<RunReport>& reports) {
  std::vector<Run> runs;
  runs.reserve(reports.size());
  for (const RunReport& report : reports)
    runs.push_back({&report, evaluations_of(report.records, page::member(report.provenance, "options"))});
  return runs;
}

// The names of metrics that any run has, in order of appearance; only those that people ask for where there are such.
std::vector<std::string> metrics_of(const std::vector<Run>& runs) {
  std::vector<std::string> names;
  for (const Run& run : runs)
    for (const std::string& name : run.evaluations.metrics)
      if (metric_kind(name) != MetricKind::kCount && std::find(names.begin(), names.end(), name) == names.end())
        names.push_back(name);
  if (std::any_of(names.begin(), names.end(), is_headline))
    std::erase_if(names, [](const std::string& name) { return !is_headline(name); });
  return names;
}

// Options whose values are not the same in all runs, but for where a run's own things are.
std::vector<std::string> differing_options(const std::vector<Run>& runs) {
  std::map<std::string, std::set<std::string>> values;
  std::vector<std::string> order;
  for (const Run& run : runs) {
    const Json& options = page::member(run.report->provenance, "options");
    if (!options.is_object()) continue;
    for (const auto& [key, value] : options.items())
      if (values.try_emplace(key).second) order.push_back(key);
  }
  for (const Run& run : runs)
    for (const std::string& key : order)
      values[key].insert(page::string_at(page::member(run.report->provenance, "options"), key));
  std::erase_if(order, [&](const std::string& key) {
    return values[key].size() < 2 || key == "output-dir" || key == "overwrite-output-dir" || key == "logging-dir";
  });
  return order;
}

// A metric at its best: "0.8712 (step 40)".
std::string best_text(const Run& run, const std::string& key, bool greater) {
  const LogRecord* best = best_of(run.evaluations.all, key, greater);
  return best == nullptr ? "–"
                         : concat(page::metric_text(page::number_at(*best, key)), " (step ", page::text_of((*best)["step"]), ")");
}

std::string table_of(const std::vector<Run>& runs, const std::vector<std::string>& metrics) {
  const std::vector<std::string> options = differing_options(runs);
  std::vector<std::string> heads{"Run"};
  heads.insert(heads.end(), options.begin(), options.end());
  for (const std::string& metric : metrics) heads.push_back("#Best " + metric);
  heads.insert(heads.end(), {"#Best validation loss", "#Steps", "#Time in steps", "#Samples a second"});
  std::vector<Row> rows;
  for (const Run& run : runs) {
    Row row{page::text_cell(run.report->name)};
    for (const std::string& option : options)
      row.push_back(page::text_cell(page::string_at(page::member(run.report->provenance, "options"), option)));
    for (const std::string& metric : metrics)
      row.push_back(page::number_cell(best_text(run, "eval_" + metric, greater_is_better(metric_kind(metric)))));
    row.push_back(page::number_cell(best_text(run, "eval_loss", false)));
    row.push_back(page::number_cell(run.report->records.empty() ? "–" : page::text_of(run.report->records.back()["step"])));
    row.push_back(page::number_cell(page::duration(page::number_at(run.report->results, "train_runtime"))));
    row.push_back(page::number_cell(page::metric_text(page::number_at(run.report->results, "train_samples_per_second"))));
    rows.push_back(std::move(row));
  }
  return page::table(heads, rows);
}

std::string curves(const std::vector<Run>& runs, const std::vector<std::string>& metrics) {
  std::string out;
  const auto add = [&](const std::string& title, const std::string& key) {
    Chart chart{.title = title, .series = {}};
    for (size_t r = 0; r < runs.size() && r < kMostCurves; ++r)
      chart.series.push_back(series_of(runs[r].report->records, key, runs[r].report->name));
    out += framed(chart);
  };
  for (const std::string& metric : metrics) add("Validation " + metric, "eval_" + metric);
  add("Validation loss", "eval_loss");
  add("Training loss", "loss");
  return out.empty() ? ""
                     : concat("<div class=\"charts\">", out, "</div>\n",
                              runs.size() > kMostCurves
                                  ? page::note(concat("Curves of the first ", kMostCurves, " of ", runs.size(), " runs."))
                                  : "");
}

// What the trials with each value of a searched option have come to.
struct Effect {
  std::string option;
  std::vector<std::pair<std::string, std::vector<double>>> values;  // in order of appearance
  static double mean(const std::vector<double>& all) {
    double sum = 0;
    for (const double value : all) sum += value;
    return sum / static_cast<double>(all.size());
  }
  double range() const {  // between the means
    double low = mean(values.front().second), high = low;
    for (const auto& [value, results] : values) low = std::min(low, mean(results)), high = std::max(high, mean(results));
    return high - low;
  }
};

// The option with the largest range first.
std::vector<Effect> effects_of(const Json& trials, const std::string& metric) {
  std::vector<Effect> effects;
  for (const Json& trial : trials) {
    const double result = page::number_at(page::member(trial, "metrics"), metric);
    const Json& options = page::member(trial, "options");
    if (!std::isfinite(result) || !options.is_object()) continue;
    for (const auto& [option, value] : options.items()) {
      const auto known =
          std::find_if(effects.begin(), effects.end(), [&name = option](const Effect& e) { return e.option == name; });
      Effect& effect = known == effects.end() ? effects.emplace_back(Effect{option, {}}) : *known;
      const std::string text = page::text_of(value);
      const auto met = std::find_if(effect.values.begin(), effect.values.end(), [&](const auto& v) { return v.first == text; });
      (met == effect.values.end() ? effect.values.emplace_back(text, std::vector<double>{}) : *met).second.push_back(result);
    }
  }
  std::erase_if(effects, [](const Effect& effect) { return effect.values.size() < 2; });
  std::stable_sort(effects.begin(), effects.end(), [](const Effect& a, const Effect& b) { return a.range() > b.range(); });
  return effects;
}

std::string what_matters(const Json& sweep, const std::string& metric, bool greater) {
  std::string out;
  for (const Effect& effect : effects_of(page::list_at(sweep, "trials"), metric)) {
    std::vector<Row> rows;
    for (const auto& [value, results] : effect.values) {
      const auto [low, high] = std::minmax_element(results.begin(), results.end());
      rows.push_back({page::text_cell(value), page::number_cell(std::to_string(results.size())),
                      page::metric_cell(Effect::mean(results)), page::metric_cell(greater ? *high : *low),
                      page::metric_cell(greater ? *low : *high)});
    }
    out += concat("<h3>", page::escape_html(effect.option), "</h3>",
                  page::note(concat("Means differ by up to ", page::metric_text(effect.range()), ".")),
                  page::table({"Value", "#Trials", "#Mean", "#Best", "#Worst"}, rows));
  }
  return page::section("What matters: " + metric + " by option, the largest difference first", out);
}

// "learning-rate = 3e-5, seed = 2": what a configuration or trial was given of what is searched.
std::string searched_options(const Json& one) {
  std::vector<std::string> options;
  if (const Json& given = page::member(one, "options"); given.is_object())
    for (const auto& [option, value] : given.items()) options.push_back(option + " = " + page::text_of(value));
  return joined(options);
}

std::string configurations(const Json& sweep, const std::string& metric) {
  std::vector<Row> rows;
  for (const Json& one : page::list_at(sweep, "configurations")) {
    Row row{page::number_cell(std::to_string(rows.size() + 1)), page::text_cell(searched_options(one))};
    for (const char* key : {"mean", "sd", "best"}) row.push_back(page::metric_cell(page::number_at(one, key)));
    for (const char* key : {"runs", "degenerate", "failed"}) row.push_back(page::number_cell(page::string_at(one, key)));
    row.push_back(page::text_cell(page::string_at(one, "best_trial")));
    rows.push_back(std::move(row));
  }
  return page::section(
      "Configurations by " + metric,
      page::table({"#", "Options", "#Mean", "#SD", "#Best", "#Runs", "#Learned nothing", "#Failed", "Best trial"}, rows));
}

std::string trials(const Json& sweep, const std::string& metric) {
  std::vector<Row> rows;
  for (const Json& trial : page::list_at(sweep, "trials"))
    rows.push_back({page::text_cell(page::string_at(trial, "folder")), page::text_cell(searched_options(trial)),
                    page::text_cell(page::string_at(trial, "state")),
                    page::metric_cell(page::number_at(page::member(trial, "metrics"), metric)),
                    page::number_cell(page::string_at(trial, "step")), page::text_cell(page::string_at(trial, "error"))});
  const std::string all = page::table({"Trial", "Options", "State", "#" + metric, "#Step", "Error"}, rows);
  return page::section("Trials", rows.size() > kMostOpen ? page::folded(concat("All ", rows.size(), " trials"), all) : all);
}

// The runs of the best trials.
std::vector<RunReport> best_trials(const std::filesystem::path& folder, const Json& sweep, const std::string& metric,
                                   bool greater) {
  struct Trial {
    double rank;
    std::string name, options;
  };
  std::vector<Trial> order;  // the best first
  for (const Json& trial : page::list_at(sweep, "trials")) {
    const std::string name = page::string_at(trial, "folder");
    const double value = page::number_at(page::member(trial, "metrics"), metric);
    const bool is_name = !name.empty() && name != ".." && std::filesystem::path(name).filename().string() == name;
    if (std::isfinite(value) && is_name) order.push_back({greater ? -value : value, name, searched_options(trial)});
  }
  std::stable_sort(order.begin(), order.end(), [](const Trial& a, const Trial& b) { return a.rank < b.rank; });
  std::vector<RunReport> runs;
  for (size_t i = 0; i < order.size() && runs.size() < kMostCurves; ++i)
    if (std::optional<RunReport> run = read_run(folder / order[i].name)) {
      run->name = order[i].options.empty() ? order[i].name : concat(order[i].name, ": ", order[i].options);
      runs.push_back(*std::move(run));
    }
  return runs;
}

}  // namespace

std::string render_comparison(const std::vector<RunReport>& reports) {
  const std::vector<Run> runs = looked_at(reports);
  std::vector<std::string> metrics = metrics_of(runs);
  if (metrics.size() > kMostMetrics) metrics.resize(kMostMetrics);
  return page::document(
      concat(reports.size(), " runs"), joined(reports, ", ", &RunReport::name),
      page::section("Runs: options that differ, metrics at their best", table_of(runs, metrics)) + curves(runs, metrics));
}

std::string render_sweep(const std::filesystem::path& folder, const Json& sweep) {
  const std::string metric = page::string_at(sweep, "metric"), greater_text = page::string_at(sweep, "greater_is_better");
  const bool greater = greater_text.empty() ? greater_is_better(metric_kind(metric)) : greater_text == "yes";
  const Json& trials_of_it = page::list_at(sweep, "trials");
  const auto done = std::count_if(trials_of_it.begin(), trials_of_it.end(),
                                  [](const Json& t) { return page::string_at(t, "state") == "done"; });
  const Json& all = page::list_at(sweep, "configurations");
  const Json best = all.empty() ? Json() : all[0];
  std::vector<page::Tile> tiles;
  const double mean = page::number_at(best, "mean"), sd = page::number_at(best, "sd");
  if (std::isfinite(mean)) {
    tiles.push_back(
        {page::metric_text(mean), "mean " + metric + " of the best configuration",
         std::isfinite(sd) ? concat("± ", page::metric_text(sd), ", ", page::string_at(best, "runs"), " runs") : "one run",
         true});
    tiles.push_back({page::metric_text(page::number_at(best, "best")), "its best trial", page::string_at(best, "best_trial")});
  }
  tiles.push_back({concat(done, " of ", trials_of_it.size()), "trials done", ""});
  const Json& ensemble = page::list_at(sweep, "ensemble");
  tiles.push_back(
      {std::to_string(ensemble.size()), "models kept, the ensemble",
       ensemble.size() <= kMostNamed ? joined(ensemble, ", ", [](const Json& name) { return page::text_of(name); }) : ""});
  const std::vector<RunReport> reports = best_trials(folder, sweep, metric, greater);
  return page::document(
      folder.filename().string(),
      concat("sweep", page::string_at(sweep, "finished") == "yes" ? ", finished" : ", not finished", " · ",
             page::string_at(sweep, "berth")),
      concat(page::tiles(tiles), configurations(sweep, metric), what_matters(sweep, metric, greater),
             curves(looked_at(reports), {metric.starts_with("eval_") ? metric.substr(5) : metric}), trials(sweep, metric),
             page::section("Command", page::string_at(sweep, "command").empty()
                                          ? ""
                                          : concat("<pre>", page::escape_html(page::string_at(sweep, "command")), "</pre>"))));
}

}  // namespace berth::train
