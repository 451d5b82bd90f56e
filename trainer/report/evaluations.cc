#include "trainer/report/evaluations.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "data/check.h"
#include "trainer/report/html_parts.h"

namespace berth::train {
namespace {

constexpr std::string_view kPrefix = "eval_";

}  // namespace

Evaluations evaluations_of(const std::vector<LogRecord>& records, const nlohmann::ordered_json& options) {
  Evaluations found;
  std::set<std::string> seen;
  for (const LogRecord& record : records) {
    if (!record.contains("eval_loss")) continue;
    found.all.push_back(&record);
    for (const auto& [key, value] : record.items())
      if (key.starts_with(kPrefix) && key != "eval_loss" && metric_kind(key) != MetricKind::kSpeed && seen.insert(key).second)
        found.metrics.push_back(key.substr(kPrefix.size()));
  }
  if (std::string asked = page::string_at(options, "metric-for-best-model"); !asked.empty())
    found.metric = asked.starts_with(kPrefix) ? asked.substr(kPrefix.size()) : asked;
  const std::string greater = page::string_at(options, "greater-is-better");
  found.greater =
      greater.empty() ? greater_is_better(metric_kind(found.metric)) : greater == "true" || greater == "True" || greater == "yes";
  found.best = best_of(found.all, concat(kPrefix, found.metric), found.greater);
  return found;
}

const LogRecord* best_of(const std::vector<const LogRecord*>& records, const std::string& key, bool greater) {
  const LogRecord* best = nullptr;
  for (const LogRecord* record : records) {
    const double value = page::number_at(*record, key);
    if (!std::isfinite(value)) continue;
    const double most = best == nullptr ? 0 : page::number_at(*best, key);
    if (best == nullptr || (greater ? value > most : value < most)) best = record;
  }
  return best;
}

bool is_headline(const std::string& metric) {
  for (const char* one : {"accuracy", "f1", "f1_micro", "f1_macro", "exact_match", "pearson", "spearmanr", "perplexity", "loss"})
    if (metric == one) return true;
  return false;
}

Series series_of(const std::vector<LogRecord>& records, const std::string& key, const std::string& name) {
  Series series{.name = name, .points = {}};
  for (const LogRecord& record : records)
    if (record.contains(key)) series.points.emplace_back(record["step"].get<double>(), page::number_at(record, key));
  return series;
}

std::vector<std::vector<std::string>> groups_by_axis(const std::vector<LogRecord>& records,
                                                     const std::vector<std::string>& metrics, size_t most) {
  std::vector<std::string> shares, percents;
  std::vector<std::vector<std::string>> groups, others;
  for (const std::string& name : metrics) {
    const MetricKind kind = metric_kind(name);
    if (kind == MetricKind::kCount) continue;
    double largest = 0;
    for (const auto& [step, value] : series_of(records, concat(kPrefix, name), name).points)
      if (std::isfinite(value)) largest = std::max(largest, std::abs(value));
    if (kind == MetricKind::kScore && largest <= 1)
      shares.push_back(name);
    else if (kind == MetricKind::kScore && largest <= 100)
      percents.push_back(name);
    else
      others.push_back({name});
  }
  for (const auto& names : {shares, percents})
    for (size_t from = 0; from < names.size(); from += most)
      groups.emplace_back(names.begin() + static_cast<std::ptrdiff_t>(from),
                          names.begin() + static_cast<std::ptrdiff_t>(std::min(names.size(), from + most)));
  groups.insert(groups.end(), others.begin(), others.end());
  return groups;
}

}  // namespace berth::train
