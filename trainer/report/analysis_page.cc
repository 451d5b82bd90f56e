#include "trainer/report/analysis_page.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <vector>

#include "data/words.h"
#include "trainer/report/html_parts.h"
#include "trainer/report/run_charts.h"

namespace berth::train {
namespace {

using page::Json, page::Row;

constexpr size_t kMostNumbered = 12;  // classes whose confusion matrix is numbers, not a picture
constexpr size_t kMostDrawn = 300;    // classes whose confusion matrix is drawn
constexpr size_t kMostRows = 20;      // of classes and pairs; the others are folded

std::string name_of(const Json& names, size_t index) { return page::text_of(names[index]); }

struct Cell {
  size_t actual, predicted;
  double count;
};

// Those that are as described.
std::vector<Cell> cells_of(const Json& confusion, size_t classes) {
  std::vector<Cell> cells;
  const auto is_index = [&](const Json& value) { return value.is_number_unsigned() && value.get<uint64_t>() < classes; };
  for (const Json& cell : page::list_at(confusion, "cells"))
    if (cell.is_array() && cell.size() == 3 && is_index(cell[0]) && is_index(cell[1]) && cell[2].is_number())
      cells.push_back({cell[0].get<size_t>(), cell[1].get<size_t>(), cell[2].get<double>()});
  return cells;
}

std::string shade(double share) {
  char text[16];
  std::snprintf(text, sizeof(text), "%.0f", 85 * std::sqrt(std::clamp(share, 0.0, 1.0)));
  return text;
}

std::vector<double> sums_by_actual(const std::vector<Cell>& cells, size_t classes) {
  std::vector<double> sums(classes);
  for (const Cell& cell : cells) sums[cell.actual] += cell.count;
  return sums;
}

std::string matrix_of_numbers(const Json& names, const std::vector<Cell>& cells) {
  const size_t classes = names.size();
  std::vector<double> counts(classes * classes);
  for (const Cell& cell : cells) counts[cell.actual * classes + cell.predicted] += cell.count;
  const std::vector<double> sums = sums_by_actual(cells, classes);
  std::string out = "<div class=\"wide\"><table class=\"matrix\"><thead><tr><th>actual \\ predicted</th>";
  for (size_t c = 0; c < classes; ++c) out += concat("<th>", page::escape_html(name_of(names, c)), "</th>");
  out += "</tr></thead><tbody>";
  for (size_t a = 0; a < classes; ++a) {
    out += concat("<tr><th>", page::escape_html(name_of(names, a)), "</th>");
    for (size_t p = 0; p < classes; ++p) {
      const double count = counts[a * classes + p];
      out += concat("<td class=\"", a == p ? "right" : "wrong", "\" style=\"--share:", shade(sums[a] > 0 ? count / sums[a] : 0),
                    "%\">", page::text_of(count), "</td>");
    }
    out += "</tr>";
  }
  return out + "</tbody></table></div>";
}

std::string matrix_as_picture(const Json& names, const std::vector<Cell>& cells) {
  const std::vector<double> sums = sums_by_actual(cells, names.size());
  std::string out =
      concat("<svg class=\"heat\" role=\"img\" aria-label=\"confusion matrix\" viewBox=\"0 0 ", names.size(), " ", names.size(),
             "\"><rect class=\"ground\" width=\"", names.size(), "\" height=\"", names.size(), "\"/>");
  for (const Cell& cell : cells) {
    const double share = sums[cell.actual] > 0 ? cell.count / sums[cell.actual] : 0;
    out += concat("<rect class=\"", cell.actual == cell.predicted ? "right" : "wrong", "\" x=\"", cell.predicted, "\" y=\"",
                  cell.actual, "\" width=\"1\" height=\"1\" fill-opacity=\"", shade(share), "%\"><title>",
                  page::escape_html(name_of(names, cell.actual)), " taken for ",
                  page::escape_html(name_of(names, cell.predicted)), ": ", page::text_of(cell.count), "</title></rect>");
  }
  return out + "</svg>";
}

std::string most_confused(const Json& names, std::vector<Cell> cells) {
  const std::vector<double> sums = sums_by_actual(cells, names.size());
  std::erase_if(cells, [](const Cell& cell) { return cell.actual == cell.predicted || !(cell.count > 0); });
  std::stable_sort(cells.begin(), cells.end(), [](const Cell& a, const Cell& b) { return a.count > b.count; });
  if (cells.size() > kMostRows) cells.resize(kMostRows);
  std::vector<Row> rows;
  rows.reserve(cells.size());
  for (const Cell& cell : cells)
    rows.push_back({page::number_cell(page::text_of(cell.count)),
                    page::number_cell(concat(std::lround(100 * cell.count / sums[cell.actual]), " %")),
                    page::text_cell(name_of(names, cell.actual)), page::text_cell(name_of(names, cell.predicted))});
  return page::table({"#Times", "#of its samples", "Actual", "taken for"}, rows);
}

std::string confusion(const Json& analysis) {
  const Json& all = page::member(analysis, "confusion");
  const Json& names = page::list_at(all, "names");
  const std::vector<Cell> cells = cells_of(all, names.size());
  if (cells.empty()) return "";
  if (names.size() <= kMostNumbered) return matrix_of_numbers(names, cells);
  const std::string pairs = "<h3>Most confused</h3>" + most_confused(names, cells);
  if (names.size() > kMostDrawn) return pairs;
  return concat("<div class=\"halves\"><div>", matrix_as_picture(names, cells),
                page::note("A row for each actual class, a column for each predicted one, in the order of the labels."),
                "</div><div>", pairs, "</div></div>");
}

std::string classes(const Json& analysis) {
  std::vector<const Json*> all;
  for (const Json& row : page::list_at(analysis, "classes")) all.push_back(&row);
  const bool many = all.size() > kMostRows;
  const auto f1 = [](const Json* row) {
    const double value = page::number_at(*row, "f1");
    const bool has_samples = page::number_at(*row, "support") > 0;  // else there was nothing to be right about: last
    return !has_samples ? 2 : std::isfinite(value) ? value : -1;
  };
  if (many) std::stable_sort(all.begin(), all.end(), [&](const Json* a, const Json* b) { return f1(a) < f1(b); });
  std::vector<Row> rows;
  for (const Json* row : all) {
    Row cells{page::text_cell(page::string_at(*row, "name"))};
    for (const char* key : {"precision", "recall", "f1"}) cells.push_back(page::metric_cell(page::number_at(*row, key)));
    for (const char* key : {"support", "predicted"}) cells.push_back(page::number_cell(page::string_at(*row, key)));
    rows.push_back(std::move(cells));
  }
  const std::vector<std::string> heads{"", "#Precision", "#Recall", "#F1", "#Support", "#Predicted"};
  const std::string positive = page::string_at(analysis, "positive");
  const std::string told =
      positive.empty() ? "" : page::note("The run's f1, precision and recall are those of “" + positive + "”.");
  if (!many) return page::table(heads, rows) + told;
  const auto middle = rows.begin() + static_cast<std::ptrdiff_t>(kMostRows);
  return page::note(concat("The ", kMostRows, " with the lowest F1 of ", rows.size(), ":")) +
         page::table(heads, {rows.begin(), middle}) +
         page::folded(concat("The other ", rows.size() - kMostRows), page::table(heads, {middle, rows.end()})) + told;
}

std::string calibration(const Json& analysis) {
  const Json& all = page::member(analysis, "calibration");
  Series ideal{.name = "perfectly calibrated", .points = {}}, seen{.name = "this model", .points = {}};
  double low = 1;
  for (const Json& bin : page::list_at(all, "bins")) {
    const double x = page::number_at(bin, "confidence"), y = page::number_at(bin, "accuracy");
    if (!std::isfinite(x) || !std::isfinite(y)) continue;
    seen.points.emplace_back(x, y);
    low = std::min({low, x, y});
  }
  if (seen.points.size() < 2) return "";
  std::stable_sort(seen.points.begin(), seen.points.end());
  ideal.points = {{low, low}, {1, 1}};
  const std::string title = concat("Calibration: how often it is right by how sure it is (expected error ",
                                   page::metric_text(page::number_at(all, "error")), ")");
  return framed({.title = title, .series = {seen, ideal}, .marks = {}, .x_name = "score", .whole_x = false});
}

std::string scores(const Json& analysis) {
  const Json& all = page::member(analysis, "scores");
  std::vector<std::string> names;
  for (const Json& name : page::list_at(all, "names")) names.push_back(page::text_of(name));
  std::vector<std::vector<double>> counts;
  for (const Json& series : page::list_at(all, "counts")) {
    std::vector<double>& one = counts.emplace_back();
    if (series.is_array())
      for (const Json& count : series) one.push_back(count.is_number() ? count.get<double>() : 0);
  }
  return page::figure("Scores", names, page::columns(names, counts, {"0", ".1", ".2", ".3", ".4", ".5", ".6", ".7", ".8", ".9"}));
}

std::string points(const Json& analysis) {
  Series dots{.name = "a sample", .points = {}, .dots = true}, ideal{.name = "equal", .points = {}};
  for (const Json& point : page::list_at(analysis, "points"))
    if (point.is_array() && point.size() == 2 && point[0].is_number() && point[1].is_number())
      dots.points.emplace_back(point[0].get<double>(), point[1].get<double>());
  if (dots.points.empty()) return "";
  const auto [low, high] = std::minmax_element(dots.points.begin(), dots.points.end());
  ideal.points = {{low->first, low->first}, {high->first, high->first}};
  return framed(
      {.title = "Predicted by actual value", .series = {dots, ideal}, .marks = {}, .x_name = "actual", .whole_x = false});
}

std::string lengths(const Json& analysis) {
  std::vector<Row> rows;
  for (const Json& row : page::list_at(analysis, "lengths"))
    rows.push_back({page::text_cell(page::string_at(row, "words")), page::number_cell(page::string_at(row, "count")),
                    page::metric_cell(page::number_at(row, "exact_match")), page::metric_cell(page::number_at(row, "f1"))});
  return page::table({"Words of the answer", "#Questions", "#Exact match", "#F1"}, rows);
}

// A list as separate pieces.
std::string pieces(const Json& value) {
  if (!value.is_array()) return concat("<bdi>", page::escape_html(page::text_of(value)), "</bdi>");
  if (value.empty()) return "<em>none</em>";
  return joined(value, " · ", [](const Json& one) { return concat("<bdi>", page::escape_html(page::text_of(one)), "</bdi>"); });
}

std::string mistakes(const Json& analysis) {
  std::string out;
  for (const Json& mistake : page::list_at(analysis, "mistakes")) {
    const Json& error = page::member(mistake, "error");
    const double score = page::number_at(mistake, "score");
    const std::string sure = error.is_number()      ? "off by " + page::metric_text(error.get<double>())
                             : std::isfinite(score) ? concat(std::lround(1000 * score) / 10.0, " % sure")
                                                    : "";
    out += "<li>";
    for (const char* key : {"text", "text_pair"})
      if (const std::string text = page::string_at(mistake, key); !text.empty())
        out += concat("<p><bdi>", page::escape_html(text), "</bdi></p>");
    out += concat("<small>row ", page::escape_html(page::string_at(mistake, "row")), " · actual <b class=\"good\">",
                  pieces(page::member(mistake, "actual")), "</b> · predicted <b class=\"bad\">",
                  pieces(page::member(mistake, "predicted")), "</b> · ", page::escape_html(sure), "</small></li>");
  }
  return out.empty() ? "" : "<ol class=\"mistakes\">" + out + "</ol>";
}

}  // namespace

std::string render_analysis(const Json& analysis) {
  if (!analysis.is_object()) return "";
  const std::string split = page::string_at(analysis, "split"), samples = page::string_at(analysis, "samples"),
                    step = page::string_at(analysis, "step");
  const std::string of =
      concat(samples, samples.empty() ? "" : " samples, ", split, step.empty() ? "" : ", model of step " + step);
  const std::string charts = calibration(analysis) + scores(analysis) + points(analysis);
  return page::section("Confusion · " + of, confusion(analysis)) +
         page::section((page::member(analysis, "confusion").is_null() ? "Labels · " : "Classes · ") + of, classes(analysis)) +
         page::section("Answers by length · " + of, lengths(analysis)) +
         (charts.empty() ? "" : "<div class=\"charts\">" + charts + "</div>\n") +
         page::section(
             (page::list_at(analysis, "points").empty() ? "Surest mistakes · " : "Largest errors · ") + of,
             mistakes(analysis).empty()
                 ? ""
                 : mistakes(analysis) + page::note("Texts as the model reads them; the row is that of the source file."));
}

}  // namespace berth::train
