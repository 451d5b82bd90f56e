#include "trainer/report/closing_table.h"

#include <cctype>
#include <cstdio>
#include <vector>

#include "data/json/json.h"
#include "trainer/metrics/metrics.h"
#include "trainer/report/markdown_table.h"

namespace berth::train {
namespace {

using Json = nlohmann::ordered_json;
using Row = std::vector<std::string>;

// Numbers with more than four decimals are rounded to four.
std::string cell(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  const std::string text = value.is_null() ? "nan" : data::dump_json(value);
  const size_t point = text.find('.');
  if (!value.is_number_float() || point == std::string::npos) return text;
  if (text.size() - point - 1 <= 4 && text.find('e') == std::string::npos) return text;
  char rounded[64];
  std::snprintf(rounded, sizeof(rounded), "%.4f", value.get<double>());
  return rounded;
}

// "eval_f1_micro" -> "F1 Micro".
std::string title(std::string name) {
  name = name.substr(std::string("eval_").size());
  bool first = true;
  for (char& c : name) {
    if (first) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    first = c == '_';
    if (first) c = ' ';
  }
  return name;
}

bool is_metric(const std::string& name) {
  return name.starts_with("eval_") && name != "eval_loss" && metric_kind(name) != MetricKind::kSpeed;
}

}  // namespace

std::string closing_table(const Json& history) {
  std::vector<Row> rows;
  std::vector<std::string> metrics;
  Json training_loss = "No log";
  for (const Json& record : history) {
    if (record.contains("loss")) training_loss = record["loss"];
    if (!record.contains("eval_loss")) continue;
    if (rows.empty()) {
      rows.push_back({"Training Loss", "Epoch", "Step", "Validation Loss"});
      for (const auto& [name, value] : record.items())
        if (is_metric(name)) metrics.push_back(name), rows[0].push_back(title(name));
    }
    Row row{cell(training_loss), cell(record.value("epoch", Json())), cell(record.value("step", Json())),
            cell(record["eval_loss"])};
    for (const std::string& name : metrics) row.push_back(cell(record.value(name, Json())));
    rows.push_back(std::move(row));
  }
  return rows.empty() ? "" : markdown_table(rows);
}

}  // namespace berth::train
