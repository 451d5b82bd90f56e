#include <algorithm>
#include <cstdio>

#include "data/json/json.h"
#include "data/utf8.h"
#include "launcher/cmd_inspect.h"

namespace berth::launch {
namespace {

using data::printable;
using Json = nlohmann::ordered_json;

bool is_table(const Json& value) {
  return value.is_array() && !value.empty() &&
         std::all_of(value.begin(), value.end(), [](const Json& row) { return row.is_object(); });
}

std::string scalar(const Json& value) {
  if (value.is_string()) return printable(value.get<std::string>());
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_null()) return "-";
  if (value.is_number_float()) {
    char text[32];
    std::snprintf(text, sizeof(text), "%.6g", value.get<double>());
    return text;
  }
  if (!value.is_structured()) return data::dump_json(value);
  std::string out;
  for (const auto& [key, item] : value.items()) {
    if (!out.empty()) out += ", ";
    out += (value.is_object() ? printable(key) + " " : "") + scalar(item);
  }
  return out.empty() ? "none" : out;
}

size_t columns(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string padded(const std::string& text, size_t width, bool right) {
  const std::string space(width > columns(text) ? width - columns(text) : 0, ' ');
  return right ? space + text : text + space;
}

// The columns are the keys of the first row.
std::string table(const Json& rows, const std::string& indent) {
  std::string out;
  std::vector<std::vector<std::string>> cells(rows.size() + 1);
  std::vector<size_t> widths;
  std::vector<bool> numeric;
  for (const auto& [key, first] : rows[0].items()) {
    cells[0].push_back(printable(key));
    numeric.push_back(first.is_number());
    size_t width = columns(cells[0].back());
    for (size_t row = 0; row < rows.size(); ++row) {
      cells[row + 1].push_back(rows[row].contains(key) ? scalar(rows[row][key]) : "");
      width = std::max(width, columns(cells[row + 1].back()));
    }
    widths.push_back(width);
  }
  for (const auto& row : cells) {
    std::string line = indent;
    for (size_t c = 0; c < row.size(); ++c) line += padded(row[c], widths[c], numeric[c]) + "  ";
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

std::string section(const Json& object, const std::string& indent) {
  size_t width = 0;
  for (const auto& [key, value] : object.items()) width = std::max(width, columns(printable(key)));
  std::string out;
  for (const auto& [key, value] : object.items()) {
    const std::string name = printable(key);
    if (is_table(value)) {
      out += indent + name + "\n" + table(value, indent + "  ");
    } else if (value.is_object() && !value.empty()) {
      out += indent + name + "\n" + section(value, indent + "  ");
    } else {
      out += indent + padded(name, width, false) + "  " + scalar(value) + "\n";
    }
  }
  return out;
}

}  // namespace

std::string describe_as_text(const Json& object) { return section(object, ""); }

}  // namespace berth::launch
