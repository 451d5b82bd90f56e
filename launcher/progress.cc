#include "launcher/progress.h"

#include <algorithm>
#include <boost/log/trivial.hpp>
#include <chrono>
#include <cmath>
#include <cstdio>

#include "data/check.h"

namespace berth::launch {
namespace {

constexpr double kRedrawSeconds = 0.1;
constexpr int kMinBar = 8;
constexpr int kMaxBar = 30;
constexpr const char* kGap = "  ";
constexpr const char* kCyan = "\x1b[36m";
constexpr const char* kPlain = "\x1b[0m";

template <class... Values>
std::string format(const char* pattern, Values... values) {
  char buffer[64];
  std::snprintf(buffer, sizeof(buffer), pattern, values...);
  return buffer;
}

double fraction(const ProgressState& state) {
  return state.total > 0 ? std::clamp(static_cast<double>(state.done) / static_cast<double>(state.total), 0.0, 1.0) : 0.0;
}

std::string percent(const ProgressState& state) { return format("%d%%", static_cast<int>(std::floor(100 * fraction(state)))); }

std::string counter(const ProgressState& state) {
  if (state.unit == ProgressUnit::kItems)
    return state.total > 0 ? format("%lld/%lld", (long long)state.done, (long long)state.total)
                           : format("%lld", (long long)state.done);
  const std::string done = format("%.1f", static_cast<double>(state.done) / 1e6);
  return state.total > 0 ? done + format("/%.1f MB", static_cast<double>(state.total) / 1e6) : done + " MB";
}

// Columns of UTF-8 text without wide or combining characters, which is all that is drawn here.
int columns(const std::string& text) {
  return static_cast<int>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

// `width` columns between two brackets, the last cell in eighths.
std::string bar(double filled, int width, bool utf8) {
  static const char* const kEighths[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const int eighths = static_cast<int>(filled * width * 8);
  const int whole = eighths / 8;
  std::string out = utf8 ? "▕" : "[";
  for (int i = 0; i < width; ++i) {
    if (i < whole) {
      out += utf8 ? "█" : "#";
    } else if (utf8) {
      out += kEighths[i == whole ? eighths % 8 : 0];
    } else {
      out += '.';
    }
  }
  return out + (utf8 ? "▏" : "]");
}

std::string join(const std::vector<std::string>& parts, const char* separator) {
  std::string out;
  for (const std::string& part : parts) {
    if (part.empty()) continue;
    if (!out.empty()) out += separator;
    out += part;
  }
  return out;
}

}  // namespace

std::string time_left(const ProgressState& state) {
  const int64_t now_done = state.done - state.start, left = state.total - state.done;
  if (left <= 0 || now_done <= 0 || state.seconds <= 0) return "";
  return "ETA " + format_duration(state.seconds / static_cast<double>(now_done) * static_cast<double>(left));
}

std::string format_duration(double seconds) {
  const auto total = static_cast<long long>(std::llround(std::max(0.0, seconds)));
  const long long days = total / 86400, hours = total / 3600 % 24, minutes = total / 60 % 60;
  if (days > 0) return format("%lldd %lldh", days, hours);
  if (hours > 0) return format("%lld:%02lld:%02lld", hours, minutes, total % 60);
  return format("%lld:%02lld", minutes, total % 60);
}

std::string format_count(double count) {
  if (count < 999.5) return format("%.0f", count);
  if (count < 999.95e3) return format("%.1fk", count / 1e3);
  return format("%.2fM", count / 1e6);
}

std::string format_number(double value) { return format("%.4g", value); }

std::string render_bar(const ProgressState& state, int width, const TerminalStyle& style) {
  std::vector<std::string> details = state.details;
  const std::string head = state.total > 0 ? state.label + format(" %4s ", percent(state).c_str()) : state.label + " ";
  const int brackets = state.total > 0 ? 2 : 0;
  const int least = state.total > 0 ? kMinBar + brackets + 1 : 0;
  std::string tail;
  for (;;) {
    std::vector<std::string> parts = {counter(state)};
    parts.insert(parts.end(), details.begin(), details.end());
    parts.push_back(time_left(state));
    tail = join(parts, kGap);
    if (details.empty() || columns(head) + least + columns(tail) <= width) break;
    details.pop_back();
  }
  if (columns(head) + least + columns(tail) > width)  // no room for a bar
    return columns(head + tail) <= width ? head + tail
                                         : (head + counter(state)).substr(0, static_cast<size_t>(std::max(0, width)));
  if (state.total <= 0) return head + tail;
  const int cells = std::min(kMaxBar, width - columns(head) - brackets - 1 - columns(tail));
  const std::string drawn = bar(fraction(state), cells, style.utf8);
  return concat(head, style.color ? kCyan : "", drawn, style.color ? kPlain : "", " ", tail);
}

std::string render_plain(const ProgressState& state) {
  std::vector<std::string> parts = {state.label + " " + counter(state) + (state.total > 0 ? " (" + percent(state) + ")" : "")};
  parts.insert(parts.end(), state.details.begin(), state.details.end());
  parts.push_back(time_left(state));
  return join(parts, ", ");
}

Clock steady_clock() {
  return [] { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); };
}

Progress::Progress(std::shared_ptr<Console> console, ProgressState start, Options options, Clock clock)
    : console_(std::move(console)), state_(std::move(start)), options_(options), clock_(std::move(clock)), began_(clock_()) {
  state_.start = state_.done;
  shown_ = began_;
}

void Progress::update(int64_t done, std::vector<std::string> details) {
  const double now = clock_();
  state_.done = done;
  state_.seconds = now - began_;
  if (!details.empty()) state_.details = std::move(details);
  if (options_.bar && console_->style().terminal) {
    if (drawn_ && now - shown_ < kRedrawSeconds) return;
    draw();
    shown_ = now;
  } else if (now - shown_ >= options_.plain_seconds) {
    BOOST_LOG_TRIVIAL(info) << render_plain(state_);
    shown_ = now;
  }
}

void Progress::draw() {
  // The last column stays free: some terminals wrap as soon as it is filled.
  console_->status(render_bar(state_, console_->width() - 1, console_->style()));
  drawn_ = true;
}

void Progress::telling() {
  if (drawn_) draw();
  shown_ = clock_();
}

void Progress::clear() {
  if (drawn_) console_->status("");
  drawn_ = false;
}

}  // namespace berth::launch
