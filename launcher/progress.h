// Progress for people: one line, redrawn on a terminal at most ten times a second; elsewhere a plain log line a minute.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "launcher/console.h"
#include "trainer/report/report.h"

namespace berth::launch {

enum class ProgressUnit { kItems, kBytes };

struct ProgressState {
  std::string label;  // "train", "validation"
  int64_t done = 0;
  int64_t total = 0;   // 0: unknown
  int64_t start = 0;   // what was done before this process began (a resume): it took no time
  double seconds = 0;  // since this process began
  ProgressUnit unit = ProgressUnit::kItems;
  std::vector<std::string> details = {};  // "loss 0.51", the most important first: the last ones go where space is short
};

// The line, at most `width` columns wide: "train  45% [#########......] 450/1000  loss 0.51  ETA 1:23".
std::string render_bar(const ProgressState& state, int width, const TerminalStyle& style);
// The same for logs: "train 450/1000 (45%), loss 0.51, ETA 1:23".
std::string render_plain(const ProgressState& state);

// "ETA 1:23"; "" while there is nothing to go by, and at the end.
std::string time_left(const ProgressState& state);

std::string format_duration(double seconds);  // "0:07", "12:34", "1:02:03", "2d 3h"
std::string format_count(double count);       // "950", "12.3k", "4.56M"
std::string format_number(double value);      // four significant digits

using Clock = std::function<double()>;  // seconds, never going back
Clock steady_clock();

class Progress {
 public:
  struct Options {
    bool bar = true;            // draw on terminals
    double plain_seconds = 60;  // elsewhere, or without the bar, log a line this often
  };
  // `start.done` counts as done before.
  Progress(std::shared_ptr<Console> console, ProgressState start, Options options, Clock clock = steady_clock());
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void update(int64_t done, std::vector<std::string> details = {});
  void clear();  // takes the line off the terminal
  // A log line is about to say how far it is: the line below it says the same, so the next plain one comes later.
  void telling();

  const ProgressState& state() const { return state_; }

 private:
  void draw();

  std::shared_ptr<Console> console_;
  ProgressState state_;
  Options options_;
  Clock clock_;
  double began_;
  double shown_;  // when the line was last drawn or logged
  bool drawn_ = false;
};

}  // namespace berth::launch
