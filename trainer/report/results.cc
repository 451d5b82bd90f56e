#include "trainer/report/results.h"

#include <nlohmann/json.hpp>

#include "data/files/files.h"
#include "data/json/json.h"
#include "trainer/report/metrics_file.h"

namespace berth::train {
namespace {

void write_sorted(const std::filesystem::path& path, const nlohmann::json& values) {
  data::write_durably(path, data::dump_json(values, 4) + "\n");
}

}  // namespace

void write_results(const std::filesystem::path& folder, const std::string& split, const Metrics& values) {
  nlohmann::json results = nlohmann::json::object();
  for (const Metric& metric : values) results[metric.name] = json_value(metric);
  write_sorted(folder / (split + "_results.json"), results);

  const std::filesystem::path all_path = folder / "all_results.json";
  nlohmann::json all;
  if (std::filesystem::exists(all_path)) all = data::find_json(data::read_file(all_path)).value_or(nullptr);
  if (!all.is_object()) all = nlohmann::json::object();
  all.update(results);
  write_sorted(all_path, all);
}

}  // namespace berth::train
