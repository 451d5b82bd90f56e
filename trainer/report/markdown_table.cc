#include "trainer/report/markdown_table.h"

#include <algorithm>

#include "data/utf8.h"

namespace berth::train {
namespace {

using Row = std::vector<std::string>;

size_t width_of(const std::string& cell) { return static_cast<size_t>(data::count_code_points(cell)); }

std::string line(const Row& row, const std::vector<size_t>& widths) {
  std::string text = "|";
  for (size_t i = 0; i < row.size(); ++i) text += " " + row[i] + std::string(widths[i] - width_of(row[i]), ' ') + " |";
  return text + "\n";
}

}  // namespace

std::string markdown_table(const std::vector<Row>& rows) {
  std::vector<size_t> widths(rows[0].size(), 3);  // of ":-:"
  for (const Row& row : rows)
    for (size_t i = 0; i < widths.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  std::string table = line(rows[0], widths);
  Row rule;
  for (const size_t width : widths) {
    rule.emplace_back(width, '-');
    rule.back().front() = rule.back().back() = ':';
  }
  table += line(rule, widths);
  for (size_t r = 1; r < rows.size(); ++r) table += line(rows[r], widths);
  return table;
}

}  // namespace berth::train
