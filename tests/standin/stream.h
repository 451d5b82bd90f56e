// Streams, events, and what the host knows of them.
#pragma once

#include <cuda_runtime_api.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "tests/standin/order.h"
#include "tests/standin/standin.h"

namespace berth::standin {

// A queue and a thread that works it off. Never destroyed: a GPU's streams, too, finish what they hold.
class Stream {
 public:
  static Stream& make(int device);
  static std::vector<Stream*> all();
  // The stream behind a handle; null is the current device's default stream, which waits for no other and for which none waits.
  static Stream& of(cudaStream_t handle);
  cudaStream_t handle() { return reinterpret_cast<cudaStream_t>(this); }

  int number() const { return number_; }
  int device() const { return device_; }

  void push(std::function<void()> body);
  void drain();        // waits until all that was pushed has run
  void synchronize();  // and the host knows it
  bool query();        // all has run; then the host knows it

  Clock clock;          // guarded by Order's mutex
  std::mutex launch;    // one operation at a time runs on callers' threads
  Operation operation;  // begun last; its holder has `launch`

 private:
  Stream(int number, int device) : number_(number), device_(device) {}
  void run();
  const int number_, device_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable wake_, through_;
  std::deque<std::function<void()>> queue_;
  bool busy_ = false, started_ = false;
};

class Event {
 public:
  Event(int device, bool timed) : device_(device), timed_(timed) {}
  static Event& of(cudaEvent_t handle) { return *reinterpret_cast<Event*>(handle); }
  cudaEvent_t handle() { return reinterpret_cast<cudaEvent_t>(this); }
  int device() const { return device_; }
  bool timed() const { return timed_; }

  void record(Stream& stream);
  void block(Stream& stream);  // what comes next on the stream waits for what the last record had before it
  bool query();                // done; then the host knows what had been recorded
  bool ended();                // done; the host learns nothing but that pinned memory is free (standin.h)
  void synchronize();
  uint64_t behind();  // how many operations the stream of the last record was given since then
  std::chrono::steady_clock::time_point when();

 private:
  const int device_;
  const bool timed_;
  std::mutex mutex_;  // guards what follows but clock_
  std::condition_variable changed_;
  uint64_t recorded_ = 0, done_ = 0;
  std::chrono::steady_clock::time_point when_;
  const Stream* stream_ = nullptr;  // of the last record
  Clock clock_;                     // guarded by Order's mutex
};

// What the threads of this process know: one clock for all, since how they tell each other is not seen. A thread that waits for a
// stream thus orders what others launch, too; a race between host threads alone is not found.
class Order {
 public:
  static Order& instance();

  // The next operation of a stream: it comes after all that the host knows to have ended.
  Operation begin(Stream& stream, const std::string& name);
  void touch(Stream& stream, const Operation& operation, const Access& access);
  void forget(uintptr_t begin, uintptr_t end);

  void record(Stream& stream, Clock& event);
  uint64_t behind(const Stream& stream, const Clock& event);
  void block(Stream& stream, const Clock& event);
  void host_knows(const Clock& clock);
  // Copies that ended before this leave their pinned memory to the host, which need not know.
  void settle(const Clock& clock);

  // Copies between pinned memory and the device, which run while the host goes on: what comes down is there when the host knows that
  // the copy has ended, and 0xFF before; what goes up must not change until then.
  void upload(Stream& stream, const Operation& operation, void* to, const void* from, size_t bytes);
  void download(Stream& stream, const Operation& operation, void* to, const void* from, size_t bytes);

 private:
  struct Upload {
    Operation operation;
    const void* from;
    size_t bytes;
    uint64_t digest;
  };
  struct Download {
    Operation operation;
    void* to;
    std::vector<unsigned char> bytes;
  };
  const char* keep(const std::string& name);
  void settle_copies(const Clock& clock);

  std::mutex mutex_;
  Clock host_;
  Accesses accesses_;
  std::vector<Upload> uploads_;      // whose end the host doesn't know yet
  std::vector<Download> downloads_;  // the same
};

}  // namespace berth::standin
