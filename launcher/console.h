// Standard error as people see it: whole lines, and on a terminal one status line below them that log lines do not tear.
// Standard output is for results and is not touched here.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <string_view>

namespace berth::launch {

// "berth: " and what went wrong, with a line end: how a job's one error is printed. Control characters, which may be a file's, are
// escaped.
std::string error_line(std::string_view what);

// What the terminal can do.
struct TerminalStyle {
  bool terminal = false;  // lines can be redrawn: a terminal, and not TERM=dumb
  bool color = false;
  bool utf8 = false;

  // `environment` looks a variable up ("" if it is not set). NO_COLOR and the locale's character set are respected.
  static TerminalStyle detect(bool is_terminal, const std::function<std::string(const char*)>& environment);
};

// Thread-safe.
class Console {
 public:
  // `fd` must stay open: standard error, or standard output. That of a rank counts as a terminal if its mpirun's is one.
  explicit Console(int fd = 2);
  Console(int fd, TerminalStyle style) : fd_(fd), style_(style) {}
  ~Console();
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  const TerminalStyle& style() const { return style_; }
  int width() const;  // columns; 80 where unknown

  void line(std::string_view text);    // text and a newline, above the status line
  void status(std::string_view text);  // replaces the status line; "" removes it. Does nothing unless style().terminal

 private:
  int fd_;
  int terminal_ = -1;  // mpirun's, behind the pipe that fd_ is
  TerminalStyle style_;
  std::mutex mutex_;
  std::string status_;
};

}  // namespace berth::launch
