// A line chart as HTML: the lines are an SVG that is stretched to the room there is, names and numbers of the axes are text of the page around
// it, so that they stay readable on a telephone. Colours come from the page's style sheet (html_style.h): classes "series0" and on.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace berth::train {

inline constexpr size_t kSeriesColors = 10;  // further series begin anew

struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points;  // by rising x; a y that is not finite leaves a gap
  bool dots = false;                              // points, not joined
};

// A vertical line with a name.
struct Mark {
  double x = 0;
  std::string name;
  bool good = false;  // stands out
};

struct Chart {
  std::string title;
  std::vector<Series> series;
  std::vector<Mark> marks = {};  // those outside the series' range are left out
  std::string x_name = "step";
  bool whole_x = true;  // x are whole numbers
};

// Long series are thinned to their extremes, so that no spike gets lost. A chart without any finite point is "".
std::string render_chart(const Chart& chart);

// Round numbers (1, 2 or 5 times a power of ten apart) that cover [low, high], about `count` of them.
std::vector<double> axis_ticks(double low, double high, int count);

}  // namespace berth::train
