#include "trainer/report/html_parts.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>

#include "data/check.h"
#include "data/json/json.h"
#include "data/utf8.h"
#include "data/words.h"
#include "trainer/report/html_style.h"
#include "trainer/report/svg_chart.h"

namespace berth::train::page {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

std::string formatted(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof(text), format, value);
  return text;
}

void collect(const Json& object, const std::string& prefix, std::vector<Row>& rows) {
  for (const auto& [key, value] : object.items()) {
    if (value.is_object())
      collect(value, prefix + key + ".", rows);
    else if (!value.is_null())
      rows.push_back({text_cell(prefix + key), json_cell(value, key)});
  }
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t valid = data::find_invalid_utf8(text).value_or(text.size());
    for (const char c : text.substr(0, valid)) {
      switch (c) {
        case '&':
          out += "&amp;";
          break;
        case '<':
          out += "&lt;";
          break;
        case '>':
          out += "&gt;";
          break;
        case '"':
          out += "&quot;";
          break;
        case '\'':
          out += "&#39;";
          break;
        default:
          if ((c >= 0 && c < ' ' && c != '\n' && c != '\t') || c == '\x7f')
            out += kReplacement;
          else
            out += c;
      }
    }
    if (valid < text.size()) out += kReplacement;
    text.remove_prefix(std::min(text.size(), valid + 1));
  }
  return out;
}

std::string text_of(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_null()) return "–";
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_number_float()) return formatted("%.5g", value.get<double>());
  if (!value.is_array()) return data::dump_json(value);
  return joined(value, ", ", text_of);
}

std::string metric_text(double value) {
  if (!std::isfinite(value)) return "–";
  return formatted(std::abs(value) < 10 ? "%.4f" : std::abs(value) < 1e5 ? "%.2f" : "%.5g", value);
}

std::string duration(double seconds) {
  if (!(seconds >= 0) || seconds > 1e12) return "–";
  if (seconds < 60) return formatted("%.1f s", seconds);
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  const auto two = [](int64_t value) { return concat(value < 10 ? "0" : "", value); };
  if (whole < 3600) return concat(whole / 60, " min ", two(whole % 60), " s");
  return concat(whole / 3600, " h ", two(whole % 3600 / 60), " min");
}

std::string result_text(const std::string& name, const Json& value) {
  if (!value.is_number()) return text_of(value);
  const auto number = value.get<double>();
  if (name.ends_with("mem_cpu_peak") || name.ends_with("mem_gpu_peak")) return formatted("%.2f GiB", std::ldexp(number, -30));
  if (name.ends_with("runtime")) return duration(number);
  return value.is_number_float() && !name.ends_with("learning_rate")
             ? (std::abs(number) < 1e-3 ? text_of(value) : metric_text(number))
             : text_of(value);
}

const Json& member(const Json& object, std::string_view key) {
  static const Json nothing;
  const auto found = object.is_object() ? object.find(std::string(key)) : object.end();
  return found == object.end() ? nothing : *found;
}

double number_at(const Json& object, std::string_view key) {
  const Json& value = member(object, key);
  return value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN();
}

std::string string_at(const Json& object, std::string_view key) {
  const Json& value = member(object, key);
  return value.is_null() ? "" : text_of(value);
}

const Json& list_at(const Json& object, std::string_view key) {
  static const Json empty = Json::array();
  const Json& value = member(object, key);
  return value.is_array() ? value : empty;
}

std::string text_cell(std::string_view text) { return concat("<td><div>", escape_html(text), "</div></td>"); }

std::string number_cell(const std::string& text) { return concat("<td class=\"number\">", escape_html(text), "</td>"); }

std::string metric_cell(double value) { return number_cell(metric_text(value)); }

std::string json_cell(const Json& value, const std::string& name) {
  const std::string text = result_text(name, value);
  return value.is_number() ? number_cell(text) : text_cell(text);
}

std::string table(const std::vector<std::string>& heads, const std::vector<Row>& rows) {
  if (rows.empty()) return "";
  std::string out = "<div class=\"wide\"><table><thead><tr>";
  for (const std::string& head : heads)
    out += head.starts_with("#") ? concat("<th class=\"number\">", escape_html(head.substr(1)), "</th>")
                                 : concat("<th>", escape_html(head), "</th>");
  out += "</tr></thead><tbody>";
  for (const Row& row : rows) out += "<tr>" + joined(row, "") + "</tr>";
  return out + "</tbody></table></div>";
}

std::string key_table(const Json& object) {
  if (!object.is_object()) return "";
  std::vector<Row> rows;
  collect(object, "", rows);
  if (rows.empty()) return "";
  return concat("<table class=\"keys\">", joined(rows, "", [](const Row& row) { return "<tr>" + joined(row, "") + "</tr>"; }),
                "</table>");
}

std::string section(std::string_view title, const std::string& body) {
  return body.empty() ? "" : concat("<section><h2>", escape_html(title), "</h2>", body, "</section>\n");
}

std::string folded(std::string_view title, const std::string& body) {
  return body.empty() ? "" : concat("<details><summary>", escape_html(title), "</summary>", body, "</details>\n");
}

std::string note(std::string_view text) { return text.empty() ? "" : concat("<p class=\"note\">", escape_html(text), "</p>"); }

std::string tiles(const std::vector<Tile>& all) {
  if (all.empty()) return "";
  std::string out = "<div class=\"tiles\">";
  for (const Tile& tile : all)
    out += concat("<div class=\"tile", tile.first ? " first" : "", "\"><span>", escape_html(tile.name), "</span><b>",
                  escape_html(tile.value), "</b><small>", escape_html(tile.more), "</small></div>");
  return out + "</div>\n";
}

std::string split_bar(const std::vector<Part>& parts) {
  const double total = std::accumulate(parts.begin(), parts.end(), 0.0, [](double sum, const Part& p) { return sum + p.value; });
  if (!(total > 0) || !std::isfinite(total)) return "";
  std::string bar, legend;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (!(parts[i].value > 0)) continue;
    const double share = 100 * parts[i].value / total;
    bar += concat("<i class=\"fill", i % kSeriesColors, "\" style=\"width:", formatted("%.2f", share), "%\"></i>");
    legend += concat("<li class=\"key", i % kSeriesColors, "\">", escape_html(parts[i].name), " <b>", escape_html(parts[i].shown),
                     "</b> <small>", formatted("%.1f", share), " %</small></li>");
  }
  return concat("<div class=\"split\">", bar, "</div><ul class=\"legend\">", legend, "</ul>");
}

std::string columns(const std::vector<std::string>& series, const std::vector<std::vector<double>>& counts,
                    const std::vector<std::string>& names) {
  double most = 0;
  std::vector<double> sums(names.size());
  for (const auto& one : counts)
    for (size_t c = 0; c < std::min(one.size(), names.size()); ++c) sums[c] += one[c] > 0 ? one[c] : 0;
  for (const double sum : sums) most = std::max(most, sum);
  if (!(most > 0) || !std::isfinite(most)) return "";
  std::string out = "<div class=\"columns\">";
  for (size_t c = 0; c < names.size(); ++c) {
    std::string bars, told = names[c] + ":";
    for (size_t s = 0; s < counts.size() && s < series.size(); ++s) {
      const double count = c < counts[s].size() && counts[s][c] > 0 ? counts[s][c] : 0;
      told += concat(s == 0 ? " " : ", ", formatted("%.0f", count), " ", series[s]);
      bars +=
          concat("<i class=\"fill", s % kSeriesColors, "\" style=\"height:", formatted("%.2f", 100 * count / most), "%\"></i>");
    }
    out += concat("<div title=\"", escape_html(told), "\"><small>", sums[c] > 0 ? formatted("%.0f", sums[c]) : "", "</small>",
                  "<span>", bars, "</span><small>", escape_html(names[c]), "</small></div>");
  }
  return out + "</div>";
}

std::string figure(std::string_view title, const std::vector<std::string>& legend, const std::string& body) {
  if (body.empty()) return "";
  std::string keys;
  for (size_t i = 0; legend.size() > 1 && i < legend.size(); ++i)
    keys += concat("<li class=\"key", i % kSeriesColors, "\">", escape_html(legend[i]), "</li>");
  return concat("<figure><figcaption>", escape_html(title), "</figcaption>", body,
                keys.empty() ? "" : "<ul class=\"legend\">" + keys + "</ul>", "</figure>\n");
}

std::string document(std::string_view title, const std::string& subtitle, const std::string& body) {
  const std::string name = escape_html(title);
  return concat("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">",
                "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">",
                "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
                "<title>", name, " · berth</title>\n<style>", kHtmlStyle, "</style></head>\n<body><main><header><h1>", name,
                "</h1><p>", escape_html(subtitle), "</p></header>\n", body, "</main></body></html>\n");
}

}  // namespace berth::train::page
