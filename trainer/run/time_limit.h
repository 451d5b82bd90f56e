// When a job is to stop by itself, so that what it has done is saved before it is ended from outside. Plain values; seconds of a clock
// that never goes back. For rank 0.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace berth::train {

// Bytes a second of a checkpoint, until one was written: a slow disk's.
inline constexpr double kSlowDisk = 50e6;

class TimeLimit {
 public:
  // `end`: when the job is ended; unset: never. A checkpoint of `bytes` is expected to take as long as on a slow disk until one was
  // written.
  TimeLimit(std::optional<double> end, uint64_t bytes);

  void saw_step(double seconds);
  void saw_evaluation(double seconds);
  void saw_save(double seconds);  // of the last one, from its begin to when it is on disk; any number of times

  // What may come before a job's end beside a step and a checkpoint.
  struct Ahead {
    bool evaluation = false;
    bool other_save = false;  // one is being written, which the last one waits for
  };
  // Whether another step, and what is ahead, might leave too little time for a checkpoint: half as much again as the slowest lately, and a second.
  bool reached(double now, Ahead ahead) const;

  // Once, when enough steps were seen to say so: whether the job will finish the steps that are left, or how many more of its length
  // are needed. "" before and after.
  std::string forecast(double now, int64_t steps_left);

 private:
  double margin(Ahead ahead) const;

  std::optional<double> end_;
  double first_step_ = 0;
  double step_ = 0, evaluation_ = 0, save_ = 0, last_save_ = 0;
  int64_t steps_ = 0;
  bool told_ = false;
};

// "90" (seconds), "MM:SS", "HH:MM:SS", "D-HH:MM:SS". Throws Error(kUsage) that begins with `option`.
double parse_duration(const std::string& option, const std::string& text);

}  // namespace berth::train
