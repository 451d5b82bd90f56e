// The process's ranges with their times, while they are recorded.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace berth::trace {

// Of a device, whose work comes later than the call that enqueues it.
class DeviceClock {
 public:
  virtual ~DeviceClock() = default;
  // Marks the place that this thread's current stream has come to, and numbers it. One thread at a time.
  virtual size_t mark() = 0;
};

struct Span {
  const char* name;
  int64_t bytes;  // 0: none were given
  std::string thread;
  std::chrono::steady_clock::time_point begin, end;
  size_t begin_mark = 0, end_mark = 0;  // with a DeviceClock
};

// This thread is called so in spans; else threads have numbers.
void name_thread(std::string name);

// From now on ranges that begin are recorded; `clock`, if there is one, stays until end_recording(). One recording at a time.
void begin_recording(DeviceClock* clock);
// Those that have ended, in the order in which they did.
std::vector<Span> end_recording();

}  // namespace berth::trace
