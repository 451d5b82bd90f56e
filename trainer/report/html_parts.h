// What the pages of trainer/report are put together from. Everything here is text for HTML: values and names come out escaped.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace berth::train::page {

using Json = nlohmann::ordered_json;

// For text and attribute values of HTML and SVG. Bytes that are no UTF-8, and control characters but tab and newline, become U+FFFD.
std::string escape_html(std::string_view text);

// A value as people read it: numbers with five digits that count, lists with commas.
std::string text_of(const Json& value);
// A metric or share: four decimals.
std::string metric_text(double value);
// "0.8 s", "3 min 05 s", "2 h 10 min".
std::string duration(double seconds);
// The value of a result by its name: seconds, bytes, shares with their units.
std::string result_text(const std::string& name, const Json& value);

// Members of what may be anything, as files are: NaN, "", an empty list, null where there is no such.
double number_at(const Json& object, std::string_view key);
std::string string_at(const Json& object, std::string_view key);
const Json& list_at(const Json& object, std::string_view key);
const Json& member(const Json& object, std::string_view key);

// Cells of a table are HTML.
using Row = std::vector<std::string>;
std::string text_cell(std::string_view text);
std::string number_cell(const std::string& text);
std::string metric_cell(double value);
std::string json_cell(const Json& value, const std::string& name = "");
// Scrolls inside itself where it is too wide. `heads` are text; those that begin with '#' (not shown) are of numbers.
std::string table(const std::vector<std::string>& heads, const std::vector<Row>& rows);
// Two columns, names and values, of an object; objects inside get dotted names; what is null is left out.
std::string key_table(const Json& object);

// "" if `body` is.
std::string section(std::string_view title, const std::string& body);
std::string folded(std::string_view title, const std::string& body);
std::string note(std::string_view text);

struct Tile {
  std::string value, name, more;  // text
  bool first = false;             // stands out
};
std::string tiles(const std::vector<Tile>& all);

// Parts of a whole as a bar, with a legend.
struct Part {
  std::string name;
  double value = 0;   // not negative
  std::string shown;  // the value, as text
};
std::string split_bar(const std::vector<Part>& parts);

// Columns of stacked bars. `counts`: by series, then by column.
std::string columns(const std::vector<std::string>& series, const std::vector<std::vector<double>>& counts,
                    const std::vector<std::string>& names);

std::string figure(std::string_view title, const std::vector<std::string>& legend, const std::string& body);

// The whole file.
std::string document(std::string_view title, const std::string& subtitle, const std::string& body);

}  // namespace berth::train::page
