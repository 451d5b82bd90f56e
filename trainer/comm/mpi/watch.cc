#include "trainer/comm/mpi/watch.h"

#include <sched.h>

#include <thread>

namespace berth::comm {

Watch::Watch(MpiHost& host, const char* operation, bool calls_mpi, double timeout_seconds)
    : host_(host), operation_(operation), calls_mpi_(calls_mpi), timeout_seconds_(timeout_seconds) {}

void Watch::pause() {
  const auto now = Clock::now();
  if (now - start_ < kSpin) return;
  if (now - start_ < kYield) {
    sched_yield();
  } else {
    std::this_thread::sleep_for(kSleep);
    look(now);
  }
}

void Watch::look(Clock::time_point now) {
  if (now < next_look_) return;
  next_look_ = now + kInterval;
  if (calls_mpi_) host_.roll_call().answer();
  const std::chrono::duration<double> waited = waited_.look(now);
  if (timeout_seconds_ > 0 && waited.count() > timeout_seconds_) host_.report_hang(operation_);
}

}  // namespace berth::comm
