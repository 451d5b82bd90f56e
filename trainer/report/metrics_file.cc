#include "trainer/report/metrics_file.h"

#include <boost/log/trivial.hpp>
#include <cmath>
#include <sstream>

#include "data/files/files.h"
#include "data/json/json.h"

namespace berth::train {
namespace {

bool is_record(const LogRecord& value) {
  return value.is_object() && value.contains("step") && value["step"].is_number_integer();
}

bool is_kept(const LogRecord& record, int64_t resume_step) {
  return is_record(record) && record["step"].get<int64_t>() <= resume_step && !record.contains("train_runtime");
}

std::string earlier_lines(const LogRecord& history, int64_t resume_step) {
  std::string text;
  for (const LogRecord& record : history)
    if (is_kept(record, resume_step)) text += data::dump_json(record) + "\n";
  return text;
}

}  // namespace

nlohmann::ordered_json json_value(double value) {
  return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json(nullptr);
}

nlohmann::ordered_json json_value(const Metric& metric) {
  if (metric.kind == MetricKind::kCount && std::isfinite(metric.value)) return static_cast<int64_t>(metric.value);
  return json_value(metric.value);
}

LogRecord make_record(int64_t step, const Metrics& values) {
  LogRecord record = {{"step", step}};
  for (const Metric& metric : values) record[metric.name] = json_value(metric);
  return record;
}

LogRecord make_record(const TrainSummary& summary) {
  LogRecord record = make_record(summary.step, scalars(summary));
  if (!summary.device.empty()) record["train_device"] = summary.device;
  return record;
}

std::vector<LogRecord> read_records(const std::filesystem::path& path) {
  std::vector<LogRecord> records;
  if (!std::filesystem::exists(path)) return records;
  std::istringstream lines(data::read_file(path));
  for (std::string line; std::getline(lines, line);) {
    if (auto record = data::find_json<LogRecord>(line); record && is_record(*record)) records.push_back(*std::move(record));
  }
  return records;
}

MetricsFile::MetricsFile(const std::filesystem::path& path, int64_t resume_step, const LogRecord& history)
    : file_(
          path,
          [path, text = earlier_lines(history, resume_step)] {
            data::write_durably(path, text);
            return path;
          },
          [](const std::string& what) { BOOST_LOG_TRIVIAL(warning) << what; }) {}

void MetricsFile::append(const LogRecord& record) { file_.append(data::dump_json(record) + "\n"); }

void MetricsFile::log(const LogReport& report) { append(make_record(report.step, scalars(report))); }

void MetricsFile::eval(const EvalReport& report) { append(make_record(report.step, scalars(report))); }

void MetricsFile::finish(const TrainSummary& summary) {
  append(make_record(summary));
  file_.sync();
}

}  // namespace berth::train
