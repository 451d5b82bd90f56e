// Waiting for other ranks without a signal from them, and without taking the core from threads that compute.
#pragma once

#include <chrono>

#include "trainer/comm/mpi/mpi_host.h"
#include "trainer/comm/running_time.h"

namespace berth::comm {

// One per wait. pause() spins for some microseconds, then gives way to other threads, then sleeps: what is about to finish is
// seen at once, what takes long costs next to nothing. (Yielding for longer does not pay: on a busy core it can cost a whole
// round of time slices, while a sleeper is woken promptly.) Now and then it answers roll calls.
class Watch {
 public:
  // `calls_mpi`: this thread may call MPI. A wait of more than timeout_seconds in which this process ran ends the job with a report
  // that names `operation`; 0: another thread watches.
  Watch(MpiHost& host, const char* operation, bool calls_mpi, double timeout_seconds);
  void pause();
  void look() { look(Clock::now()); }  // the part of pause() that does not wait
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }  // of this wait

 private:
  using Clock = std::chrono::steady_clock;
  void look(Clock::time_point now);
  static constexpr auto kSpin = std::chrono::microseconds(20);
  static constexpr auto kYield = std::chrono::microseconds(200);
  static constexpr auto kSleep = std::chrono::microseconds(50);
  static constexpr auto kInterval = std::chrono::milliseconds(100);

  MpiHost& host_;
  const char* operation_;
  bool calls_mpi_;
  double timeout_seconds_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point next_look_ = start_ + kInterval;
  RunningTime waited_{start_};
};

}  // namespace berth::comm
