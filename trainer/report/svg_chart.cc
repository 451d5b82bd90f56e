#include "trainer/report/svg_chart.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "data/check.h"
#include "trainer/report/html_parts.h"

namespace berth::train {
namespace {

constexpr double kSize = 1000;        // of the canvas, both ways; the page stretches it
constexpr size_t kBuckets = 300;      // a thinned series has at most two points in each
constexpr size_t kMarkedPoints = 60;  // up to so many points get a marker

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Range {
  double low = kInfinity, high = -kInfinity;
  void include(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  bool empty() const { return low > high; }
};

// "0.05", "5e-5": an axis has little room.
std::string text_of(double value) {
  char text[48];
  const double exponent = value == 0 ? 0 : std::floor(std::log10(std::abs(value)) + 1e-9);
  if (exponent < -3)
    std::snprintf(text, sizeof(text), "%.3ge%.0f", value / std::pow(10.0, exponent), exponent);
  else
    std::snprintf(text, sizeof(text), "%.4g", value);
  return text;
}

std::string pixel(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f", value);
  return text;
}

// Of each bucket of points the lowest (or a gap) and the highest, in order.
std::vector<std::pair<double, double>> thinned(const std::vector<std::pair<double, double>>& points) {
  if (points.size() <= 2 * kBuckets) return points;
  std::vector<std::pair<double, double>> out;
  for (size_t bucket = 0; bucket < kBuckets; ++bucket) {
    const auto begin = points.begin() + static_cast<std::ptrdiff_t>(bucket * points.size() / kBuckets);
    const auto end = points.begin() + static_cast<std::ptrdiff_t>((bucket + 1) * points.size() / kBuckets);
    const auto height = [](const auto& point) { return std::isfinite(point.second) ? point.second : -kInfinity; };
    const auto by_y = [&](const auto& a, const auto& b) { return height(a) < height(b); };
    auto [first, second] = std::minmax_element(begin, end, by_y);
    if (first > second) std::swap(first, second);
    out.push_back(*first);
    if (first != second) out.push_back(*second);
  }
  return out;
}

// Where values land on the canvas.
class Scale {
 public:
  Scale(Range x, Range y) : x_(x), y_(y) {}
  double across(double x) const { return (x - x_.low) / (x_.high - x_.low) * kSize; }
  double down(double y) const { return kSize - (y - y_.low) / (y_.high - y_.low) * kSize; }
  std::string at(const std::pair<double, double>& point) const {
    return pixel(across(point.first)) + " " + pixel(down(point.second));
  }

 private:
  Range x_, y_;
};

// A place on the canvas, as CSS has it.
std::string percent(double value) { return pixel(value / kSize * 100) + "%"; }

std::string grid(const Scale& scale, const std::vector<double>& y_ticks) {
  std::string path;
  for (const double tick : y_ticks) path += concat("M0 ", pixel(scale.down(tick)), "h", kSize);
  return concat("<path class=\"grid\" d=\"", path, "\"/>");
}

std::string axis_texts(const Scale& scale, const std::vector<double>& x_ticks, const std::vector<double>& y_ticks) {
  std::string out;
  for (const double tick : y_ticks)
    out += concat("<i class=\"y\" style=\"top:", percent(scale.down(tick)), "\">", text_of(tick), "</i>");
  for (const double tick : x_ticks)
    out += concat("<i class=\"x\" style=\"left:", percent(scale.across(tick)), "\">", text_of(tick), "</i>");
  return out;
}

std::string dot(const std::string& at, size_t color, const std::string& told) {
  return concat("<path class=\"dot series", color, "\" d=\"M", at, "h0\"><title>", page::escape_html(told), "</title></path>");
}

std::string line(const Series& series, size_t color, const Scale& scale, const std::string& x_name) {
  const auto points = series.dots ? series.points : thinned(series.points);
  std::string path, dots;
  bool pen_down = false;
  for (const auto& point : points) {
    if (!std::isfinite(point.second)) {
      pen_down = false;
      continue;
    }
    path += pen_down ? 'L' : 'M';
    path += scale.at(point);
    pen_down = true;
    if (!series.dots && points.size() > kMarkedPoints) continue;
    dots +=
        dot(scale.at(point), color, concat(series.name, " at ", x_name, " ", text_of(point.first), ": ", text_of(point.second)));
  }
  return (series.dots ? "" : concat("<path class=\"series", color, "\" d=\"", path, "\"/>")) + dots;
}

}  // namespace

std::vector<double> axis_ticks(double low, double high, int count) {
  const double rough = (high - low) / count;
  if (!(rough > 0) || !std::isfinite(rough)) return {low};
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  const double leading = rough / power;
  const double step = power * (leading <= 1 ? 1 : leading <= 2 ? 2 : leading <= 5 ? 5 : 10);
  std::vector<double> ticks;
  for (double i = std::floor(low / step); i <= std::ceil(high / step - 1e-9); ++i) ticks.push_back(i * step);
  return ticks;
}

std::string render_chart(const Chart& chart) {
  Range x, y;
  for (const Series& series : chart.series) {
    for (const auto& [at, value] : series.points) {
      if (!std::isfinite(value)) continue;
      x.include(at);
      y.include(value);
    }
  }
  if (y.empty()) return "";
  if (x.low == x.high) x = {x.low - 1, x.high + 1};
  if (y.low == y.high) {
    const double margin = y.low == 0 ? 1 : std::abs(y.low) / 10;
    y = {y.low - margin, y.high + margin};
  }
  const std::vector<double> y_ticks = axis_ticks(y.low, y.high, 4);
  y = {y_ticks.front(), y_ticks.back()};
  std::vector<double> x_ticks = axis_ticks(x.low, x.high, 5);
  std::erase_if(x_ticks,
                [&](double tick) { return tick < x.low || tick > x.high || (chart.whole_x && tick != std::round(tick)); });

  const Scale scale(x, y);
  std::string lines, marks;
  for (size_t i = 0; i < chart.series.size(); ++i) lines += line(chart.series[i], i % kSeriesColors, scale, chart.x_name);
  for (const Mark& mark : chart.marks) {
    if (!(mark.x >= x.low && mark.x <= x.high)) continue;
    const double at = scale.across(mark.x);
    marks += concat("<b class=\"mark", mark.good ? " good" : "", at > kSize * 0.8 ? " left" : "", "\" style=\"left:", percent(at),
                    "\"><span>", page::escape_html(mark.name), "</span></b>");
  }
  return concat("<div class=\"plot\" role=\"img\" aria-label=\"", page::escape_html(chart.title), " by ",
                page::escape_html(chart.x_name), "\">", marks, "<svg viewBox=\"0 0 ", kSize, " ", kSize,
                "\" preserveAspectRatio=\"none\">", grid(scale, y_ticks), lines, "</svg>", axis_texts(scale, x_ticks, y_ticks),
                "</div><div class=\"axis\">", page::escape_html(chart.x_name), "</div>");
}

}  // namespace berth::train
