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
    return std::tuple(-static_cast<double>(summary.rung), summary.failed > 0 || !summary.mean,
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
  std::vector<size_t> best;
  for (const Summary& summary : ranked) {
    std::vector<size_t> trials;
    for (const size_t trial : plan.trials_of({summary.configuration}))
      if (counts(results[trial]) && !(any_learned && results[trial].degenerate)) trials.push_back(trial);
    std::stable_sort(trials.begin(), trials.end(),
                     [&](size_t a, size_t b) { return better(*results[a].value, *results[b].value, greater); });
    best.insert(best.end(), trials.begin(), trials.end());
  }
  best.resize(std::min(most, best.size()));
  return best;
}

std::string sweep_table(const SweepPlan& plan, const std::vector<Summary>& ranked, const std::string& metric) {
  std::vector<std::string> head{"Rank"};
  for (const auto& [option, value] : plan.configurations.at(0)) head.push_back(option);
  if (plan.rungs() > 1) head.push_back("Trained to");
  for (const char* column : {"Runs", "Mean", "SD", "Best", "Best trial", "Degenerate", "Failed"}) head.emplace_back(column);
  std::replace(head.begin(), head.end(), std::string("Mean"), metric + " mean");
  std::vector<std::vector<std::string>> rows{head};
  for (size_t r = 0; r < ranked.size(); ++r) {
    const Summary& summary = ranked[r];
    std::vector<std::string>& row = rows.emplace_back(1, std::to_string(r + 1));
    for (const auto& [option, value] : plan.configurations[summary.configuration]) row.push_back(value);
    char share[32];
    std::snprintf(share, sizeof share, "%.3g %%", 100 * plan.share(summary.rung));
    if (plan.rungs() > 1) row.emplace_back(share);
    row.insert(row.end(), {std::to_string(summary.runs), number(summary.mean), number(summary.sd), number(summary.best),
                           summary.best_trial ? concat("trial-", *summary.best_trial) : "", count(summary.degenerate),
                           count(summary.failed)});
  }
  return markdown_table(rows);
}

}  // namespace berth::train
