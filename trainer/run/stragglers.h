// Which ranks are steadily slower than the others, and what the others' waiting costs. Plain values; for rank 0.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace berth::train {

// A rank's part of a step.
struct OwnPart {
  double seconds = 0;  // without its waiting for others
  int64_t tokens = 0;
};

// How long the ranks waited in a step for the slowest of them, on average: with even parts the step would have been so much shorter.
double wait_for_slowest(std::span<const OwnPart> parts);

// A rank is slow in a window of steps if it took kSlow times as long for a token as the median of the ranks (of two ranks, as the faster
// one), and if what that cost was kShare of the window's time. It is named when it was slow in kInARow windows in a row, and once more
// when it was not for as long. A rank that has more tokens than others is not slow for that.
class Stragglers {
 public:
  static constexpr int64_t kSteps = 20;  // of a window, at least
  static constexpr double kSeconds = 5;  // of a window, at least
  static constexpr double kSlow = 1.2;   // times the median
  static constexpr double kShare = 0.1;  // of the time
  static constexpr int kInARow = 3;

  explicit Stragglers(std::vector<std::string> hosts);  // by rank

  // A step that took `seconds` in all, and the ranks' parts of it. What is to be told: mostly nothing, else a line for each host.
  std::vector<std::string> saw_step(std::span<const OwnPart> parts, double seconds);

 private:
  struct Rank {
    OwnPart part;     // of this window
    int changed = 0;  // windows in a row that were other than what was told
    bool told_slow = false;
  };
  std::vector<std::string> close_window();

  std::vector<std::string> hosts_;
  std::vector<Rank> ranks_;
  int64_t steps_ = 0;  // in this window
  double seconds_ = 0;
};

}  // namespace berth::train
