#include "trainer/report/svg_chart.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "data/check.h"
#include "data/utf8.h"

namespace berth::train {
namespace {

constexpr double kWidth = 640, kHeight = 240;
constexpr double kLeft = 58, kRight = 14, kTop = 10, kBottom = 26;
constexpr size_t kBuckets = 300;      // a thinned series has at most two points in each
constexpr size_t kMarkedPoints = 60;  // up to so many points get a marker
constexpr size_t kColors = 4;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Range {
  double low = kInfinity, high = -kInfinity;
  void include(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  bool empty() const { return low > high; }
};

std::string text_of(double value) {
  char text[32];
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
  double across(double x) const { return kLeft + (x - x_.low) / (x_.high - x_.low) * (kWidth - kLeft - kRight); }
  double down(double y) const { return kHeight - kBottom - (y - y_.low) / (y_.high - y_.low) * (kHeight - kTop - kBottom); }
  std::string at(const std::pair<double, double>& point) const {
    return pixel(across(point.first)) + " " + pixel(down(point.second));
  }

 private:
  Range x_, y_;
};

std::string axes(const Scale& scale, const std::vector<double>& x_ticks, const std::vector<double>& y_ticks) {
  std::string out;
  const std::string left = pixel(kLeft), right = pixel(kWidth - kRight);
  for (const double tick : y_ticks) {
    const std::string y = pixel(scale.down(tick));
    out += concat("<line class=\"grid\" x1=\"", left, "\" x2=\"", right, "\" y1=\"", y, "\" y2=\"", y, "\"/>");
    out += concat("<text class=\"axis\" text-anchor=\"end\" dominant-baseline=\"middle\" x=\"", pixel(kLeft - 6), "\" y=\"", y,
                  "\">", text_of(tick), "</text>");
  }
  for (const double tick : x_ticks) {
    out += concat("<text class=\"axis\" text-anchor=\"middle\" x=\"", pixel(scale.across(tick)), "\" y=\"", pixel(kHeight - 8),
                  "\">", text_of(tick), "</text>");
  }
  return out;
}

std::string line(const Series& series, size_t color, const Scale& scale) {
  const auto points = thinned(series.points);
  std::string path, markers;
  bool pen_down = false;
  for (const auto& point : points) {
    if (!std::isfinite(point.second)) {
      pen_down = false;
      continue;
    }
    path += pen_down ? 'L' : 'M';
    path += scale.at(point);
    pen_down = true;
    if (points.size() > kMarkedPoints) continue;
    markers += concat("<circle class=\"series", color, "\" cx=\"", pixel(scale.across(point.first)), "\" cy=\"",
                      pixel(scale.down(point.second)), "\" r=\"3\"><title>", escape_html(series.name), " at step ",
                      text_of(point.first), ": ", text_of(point.second), "</title></circle>");
  }
  return concat("<path class=\"series", color, "\" d=\"", path, "\"/>", markers);
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
          out += c;
      }
    }
    if (valid < text.size()) out += "\xEF\xBF\xBD";
    text.remove_prefix(std::min(text.size(), valid + 1));
  }
  return out;
}

std::string render_svg(const Chart& chart) {
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
  std::vector<double> x_ticks = axis_ticks(x.low, x.high, 6);
  std::erase_if(x_ticks,
                [&](double tick) { return tick < x.low || tick > x.high || tick != std::round(tick); });  // steps are whole

  const Scale scale(x, y);
  std::string out = concat("<svg viewBox=\"0 0 ", kWidth, " ", kHeight, "\" role=\"img\" aria-label=\"", escape_html(chart.title),
                           " by step\">", axes(scale, x_ticks, y_ticks));
  for (size_t i = 0; i < chart.series.size(); ++i) out += line(chart.series[i], i % kColors, scale);
  return out + "</svg>";
}

}  // namespace berth::train
