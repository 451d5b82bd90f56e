// Waiting for other ranks without a signal from them, and without taking the core from threads that compute.
#pragma once

#include <chrono>

#include "trainer/comm/mpi_host.h"

namespace berth::comm {

// One per wait. pause() gives way to other threads at first and sleeps once nothing has happened for a while: what is about to
// finish is seen within microseconds, what takes long costs next to nothing. Now and then it answers roll calls.
class Watch {
 public:
  // `calls_mpi`: this thread may call MPI. A wait longer than timeout_seconds ends the job with a report that names `operation`;
  // 0: another thread watches.
  Watch(MpiHost& host, const char* operation, bool calls_mpi, double timeout_seconds);
  void pause();
  // The part of pause() that does not wait.
  void look();

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr int kYields = 100;
  static constexpr auto kSleep = std::chrono::microseconds(50);
  static constexpr auto kInterval = std::chrono::milliseconds(100);

  MpiHost& host_;
  const char* operation_;
  bool calls_mpi_;
  double timeout_seconds_;
  int yields_ = 0;
  Clock::time_point start_ = Clock::now();
  Clock::time_point next_look_ = start_ + kInterval;
};

}  // namespace berth::comm
