#include "launcher/csv_lines.h"

#include <map>
#include <set>

#include "data/json/json.h"
#include "data/words.h"

namespace berth::launch {
namespace {

using Json = nlohmann::ordered_json;

std::string escaped(const std::string& cell) {
  if (cell.find_first_of("\",\r\n") == std::string::npos) return cell;
  std::string text = "\"";
  for (const char c : cell) text += c == '"' ? "\"\"" : std::string(1, c);
  return text + "\"";
}

std::string cell_of(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.is_null() ? "" : data::dump_json(value);
}

CsvLines::Row flat(const Json& object) {
  CsvLines::Row row;
  for (const auto& [key, value] : object.items()) {
    if (!value.is_object()) {
      row.emplace_back(key, value);
      continue;
    }
    for (const auto& [inner, one] : value.items()) row.emplace_back(concat(key, ".", inner), one);
  }
  return row;
}

std::vector<std::string> names_of(const CsvLines::Row& row) {
  std::vector<std::string> names;
  for (const auto& [name, value] : row) names.push_back(name);
  return names;
}

// Of columns of one name each takes the next value.
std::string cells_of(const CsvLines::Row& row, const std::vector<std::string>& names) {
  std::multimap<std::string, Json> by_name(row.begin(), row.end());
  return joined(names, ",", [&](const std::string& name) {
    const auto found = by_name.extract(name);
    return found.empty() ? "" : escaped(cell_of(found.mapped()));
  });
}

}  // namespace

std::string CsvLines::operator()(const Row& given, const Json& predicted) {
  const Row added = flat(predicted);
  std::string lines;
  if (given_.empty()) {
    given_ = names_of(given);
    predicted_ = names_of(added);
    std::set<std::string> taken(given_.begin(), given_.end());
    lines = joined(given_, ",", escaped) + "," +
            joined(predicted_, ",",
                   [&](std::string name) {
                     while (!taken.insert(name).second) name.insert(0, "predicted_");
                     return escaped(name);
                   }) +
            "\n";
  }
  return lines + cells_of(given, given_) + "," + cells_of(added, predicted_) + "\n";
}

}  // namespace berth::launch
