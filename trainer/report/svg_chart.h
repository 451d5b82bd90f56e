// A line chart as an inline SVG element. Colours come from the page's style sheet: classes "series0" to "series3", "grid",
// "axis".
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace berth::train {

struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points;  // by rising x; a y that is not finite leaves a gap
};

struct Chart {
  std::string title;
  std::vector<Series> series;
};

// Long series are thinned to their extremes, so that no spike gets lost. A chart without any finite point is "".
std::string render_svg(const Chart& chart);

// Round numbers (1, 2 or 5 times a power of ten apart) that cover [low, high], about `count` of them.
std::vector<double> axis_ticks(double low, double high, int count);

// For text and attribute values of HTML and SVG. Bytes that are no UTF-8 become U+FFFD.
std::string escape_html(std::string_view text);

}  // namespace berth::train
