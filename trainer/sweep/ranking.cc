#include "trainer/sweep/ranking.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <tuple>

#include "data/words.h"
#include "trainer/report/markdown_table.h"

namespace berth::train {
namespace {

using Row = std::vector<std::string>;

std::string number(const std::optional<double>& value) {
  if (!value) return "";
  char text[64];
  std::snprintf(text, sizeof text, std::abs(*value) < 1e4 ? "%.4f" : "%.4g", *value);
  return text;
}

std::string count(int64_t number) { return number == 0 ? "" : std::to_string(number); }

bool better(double a, double b, bool greater) { return greater ? a > b : a < b; }

void add(Summary& summary, size_t trial, const TrialResult& result, bool greater) {
  ++summary.runs;
  summary.failed += result.exit_code != 0;
  summary.degenerate += result.degenerate;
  if (!result.value) return;
  summary.values.push_back(*result.value);
  if (summary.best && !better(*result.value, *summary.best, greater)) return;
  summary.best = result.value;
  summary.best_trial = trial;
}

}  // namespace

std::vector<Summary> summarize(const SweepPlan& plan, const std::vector<TrialResult>& results, const std::vector<size_t>& rung,
                               bool greater) {
  std::vector<Summary> all(plan.configurations.size());
  for (size_t c = 0; c < all.size(); ++c) {
    all[c].configuration = c;
    all[c].rung = rung[c];
  }
  for (size_t trial = 0; trial < plan.trials.size(); ++trial)
    if (results[trial].done) add(all[plan.trials[trial].configuration], trial, results[trial], greater);
  for (Summary& summary : all) {
    const std::vector<double>& values = summary.values;
    if (values.empty()) continue;
    const double n = static_cast<double>(values.size()), mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
    summary.mean = mean;
    if (values.size() < 2) continue;
    const double squares = std::accumulate(values.begin(), values.end(), 0.0,
                                           [&](double sum, double value) { return sum + (value - mean) * (value - mean); });
    summary.sd = std::sqrt(squares / (n - 1));
  }
  return all;
}

std::vector<Summary> ranked(std::vector<Summary> all, bool greater) {
  const auto key = [&](const Summary& summary) {
    const double worst = std::numeric_limits<double>::infinity();
    return std::tuple(-static_cast<double>(summary.rung), summary.partial() || !summary.mean,
                      summary.mean ? (greater ? -*summary.mean : *summary.mean) : worst);
  };
  std::stable_sort(all.begin(), all.end(), [&](const Summary& a, const Summary& b) { return key(a) < key(b); });
  return all;
}

std::vector<size_t> best_trials(const SweepPlan& plan, const std::vector<Summary>& ranked,
                                const std::vector<TrialResult>& results, bool greater, size_t most) {
  const auto counts = [](const TrialResult& result) { return result.done && result.value; };
  const bool any_learned =
      std::any_of(results.begin(), results.end(), [&](const auto& it) { return counts(it) && !it.degenerate; });
  std::vector<size_t> place(ranked.size()), best;
  for (size_t r = 0; r < ranked.size(); ++r) place[ranked[r].configuration] = r;
  for (size_t trial = 0; trial < results.size(); ++trial)
    if (counts(results[trial]) && !(any_learned && results[trial].degenerate)) best.push_back(trial);
  const auto place_of = [&](size_t trial) { return place[plan.trials[trial].configuration]; };
  std::stable_sort(best.begin(), best.end(), [&](size_t a, size_t b) {
    return place_of(a) == place_of(b) ? better(*results[a].value, *results[b].value, greater) : place_of(a) < place_of(b);
  });
  best.resize(std::min(most, best.size()));
  return best;
}

std::string sweep_table(const SweepPlan& plan, const std::vector<Summary>& ranked, const std::string& metric) {
  Row head{"Rank", "Configuration"};
  for (const auto& [option, value] : plan.configurations.at(0)) head.push_back(option);
  if (plan.rungs() > 1) head.push_back("Trained to");
  for (const char* column : {"Runs", "Mean", "SD", "Best", "Best trial", "Degenerate", "Failed"}) head.emplace_back(column);
  std::replace(head.begin(), head.end(), std::string("Mean"), metric + " mean");
  std::vector<Row> rows{head};
  for (size_t r = 0; r < ranked.size(); ++r) {
    const Summary& summary = ranked[r];
    Row& row = rows.emplace_back(Row{std::to_string(r + 1), std::to_string(summary.configuration)});
    for (const auto& [option, value] : plan.configurations[summary.configuration]) row.push_back(value);
    char share[32];
    std::snprintf(share, sizeof share, "%.3g %%", 100 * plan.share(summary.rung));
    if (plan.rungs() > 1) row.emplace_back(share);
    row.insert(row.end(), {std::to_string(summary.runs), number(summary.mean), number(summary.sd), number(summary.best),
                           summary.best_trial ? name_of(plan.trials[*summary.best_trial]) : "", count(summary.degenerate),
                           count(summary.failed)});
  }
  return markdown_table(rows);
}

}  // namespace berth::train
