#include "trainer/report/results.h"

#include <boost/log/trivial.hpp>
#include <nlohmann/json.hpp>
#include <utility>

#include "data/files/files.h"
#include "data/json/json.h"
#include "trainer/report/metrics_file.h"

namespace berth::train {
namespace {

void write_sorted(const std::filesystem::path& path, const nlohmann::json& values) {
  data::write_durably(path, data::dump_json(values, 4) + "\n");
}

nlohmann::json values_of(const Metrics& metrics) {
  nlohmann::json values = nlohmann::json::object();
  for (const Metric& metric : metrics) values[metric.name] = json_value(metric);
  return values;
}

void write_values(const std::filesystem::path& folder, const std::string& split, const nlohmann::json& results) {
  write_sorted(folder / (split + "_results.json"), results);

  const std::filesystem::path all_path = folder / "all_results.json";
  nlohmann::json all;
  if (std::filesystem::exists(all_path)) all = data::find_json(data::read_file(all_path)).value_or(nullptr);
  if (!all.is_object()) all = nlohmann::json::object();
  all.update(results);
  write_sorted(all_path, all);
}

}  // namespace

void write_results(const std::filesystem::path& folder, const std::string& split, const Metrics& values) {
  write_values(folder, split, values_of(values));
}

void write_analysis(const std::filesystem::path& folder, const std::string& split, nlohmann::ordered_json about,
                    const nlohmann::ordered_json& analysis) {
  about.update(analysis);
  data::write_durably(folder / (split + "_analysis.json"), data::dump_json(about) + "\n");
}

void ResultsSink::eval(const EvalReport& report) { write(report.prefix, values_of(scalars(report))); }

void ResultsSink::finish(const TrainSummary& summary) {
  nlohmann::json values = values_of(scalars(summary));
  if (!summary.device.empty()) values["train_device"] = summary.device;
  write("train", std::move(values));
}

ResultsSink::~ResultsSink() {
  if (failure_.empty()) return;
  write_waiting();
  for (const auto& [split, values] : waiting_)
    BOOST_LOG_TRIVIAL(warning) << (folder_ / (split + "_results.json")).string()
                               << " or all_results.json beside it was not written: " << failure_;
}

void ResultsSink::write(const std::string& split, nlohmann::json values) {
  waiting_[split] = std::move(values);
  write_waiting();
}

void ResultsSink::write_waiting() {
  try {
    while (!waiting_.empty()) {
      const auto& [split, values] = *waiting_.begin();
      write_values(folder_, split, values);
      waiting_.erase(waiting_.begin());
    }
    if (!failure_.empty()) BOOST_LOG_TRIVIAL(warning) << folder_.string() << ": results are written again, nothing is lost";
    failure_.clear();
  } catch (const std::exception& error) {
    if (failure_.empty()) BOOST_LOG_TRIVIAL(warning) << error.what() << "; the run goes on, and these results are written later";
    failure_ = error.what();
  }
}

}  // namespace berth::train
