// How long something has lasted while this process ran: a job that is stopped as a whole (SIGSTOP, Slurm's suspend, a frozen
// container) and goes on an hour later has not waited for an hour.
#pragma once

#include <algorithm>
#include <chrono>

namespace berth::comm {

class RunningTime {
 public:
  using Clock = std::chrono::steady_clock;
  // A longer time between two looks counts as this: the process was stopped in between.
  static constexpr auto kMostBetweenLooks = std::chrono::seconds(1);

  explicit RunningTime(Clock::time_point start = Clock::now()) : last_look_(start) {}

  // To be called several times a second; the time up to now.
  Clock::duration look(Clock::time_point now = Clock::now()) {
    elapsed_ += std::min<Clock::duration>(now - last_look_, kMostBetweenLooks);
    last_look_ = now;
    return elapsed_;
  }
  // The time up to the last look.
  Clock::duration elapsed() const { return elapsed_; }

 private:
  Clock::time_point last_look_;
  Clock::duration elapsed_{};
};

}  // namespace berth::comm
