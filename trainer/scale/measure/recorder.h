// A communicator of one rank that writes down when a training step asks something of it.
#pragma once

#include <c10/core/Event.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "trainer/comm/local_communicator.h"
#include "trainer/scale/scaling.h"

namespace berth::scale {

// On the device's current stream; on CPUs, by the clock.
class Instant {
 public:
  // On CPUs so much ago.
  explicit Instant(at::Device device, std::chrono::steady_clock::duration ago = {});
  // Waits for the device to be past both.
  double seconds_since(const Instant& before) const;

 private:
  std::chrono::steady_clock::time_point time_;
  std::shared_ptr<c10::Event> event_;  // null on CPUs
};

// What was asked during a step.
struct Mark {
  enum What { kStage, kStart, kWait } what;
  Instant at;
  double bytes;       // kStart: of the all-reduce
  std::string stage;  // kStage: its name
};

// A step without communication. Seconds.
struct Profile {
  Step step;
  double forward = 0, backward = 0, optimizer = 0;  // of all micro-batches
};
// Of the marks of a TrainStep's step, from its begin to its end.
Profile profile_of(const std::vector<Mark>& marks);

class Recorder final : public comm::LocalCommunicator {
 public:
  // `others`: where ranks share parameters, which they update together. They then meet when the loss is summed, which is left out.
  explicit Recorder(at::Device device, comm::Communicator* others = nullptr) : LocalCommunicator(device), others_(others) {}

  // Does what is no part of the step: its time is not counted, on CPUs.
  void leave_out(const std::function<void()>& work);
  void begin() { note(Mark::kStage, 0, "begin"); }
  // What was noted since begin().
  std::vector<Mark> end();

  comm::Ticket start_all_reduce(const at::Tensor& tensor) override;
  void wait(comm::Ticket) override { note(Mark::kWait); }
  void all_reduce_sum(std::span<int64_t>) override {}
  void all_reduce_sum(std::span<double> values) override;
  void set_stage(const std::string& stage) override { note(Mark::kStage, 0, stage); }

 private:
  void note(Mark::What what, double bytes = 0, const std::string& stage = "");

  comm::Communicator* others_;
  std::chrono::steady_clock::duration left_out_{};
  std::vector<Mark> marks_;
};

}  // namespace berth::scale
