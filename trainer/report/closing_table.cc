#include "trainer/report/closing_table.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <vector>

#include "data/json/json.h"
#include "trainer/metrics/metrics.h"

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

std::string line(const Row& row, const std::vector<size_t>& widths) {
  std::string text = "|";
  for (size_t i = 0; i < row.size(); ++i) text += " " + row[i] + std::string(widths[i] - row[i].size(), ' ') + " |";
  return text + "\n";
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
  if (rows.empty()) return "";
  std::vector<size_t> widths(rows[0].size());
  for (const Row& row : rows)
    for (size_t i = 0; i < widths.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  Row rule;
  for (size_t width : widths) {
    rule.emplace_back(width, '-');
    rule.back().front() = rule.back().back() = ':';
  }
  rows.insert(rows.begin() + 1, rule);
  std::string table;
  for (const Row& row : rows) table += line(row, widths);
  return table;
}

}  // namespace berth::train
