// --trace-steps: what ranks and devices did in some steps, and when, as a timeline.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "trainer/comm/communicator.h"
#include "trainer/run/train_options.h"

namespace berth::train {

class StepTrace {
 public:
  // Rank 0 writes `file`, in the Trace Event Format that Perfetto and Chrome open: a process a rank, in it threads and, with a GPU, its streams.
  // Times are each rank's own, since a barrier before the first step.
  StepTrace(std::optional<TraceSteps> steps, std::filesystem::path file, comm::Communicator& comm);
  ~StepTrace();
  StepTrace(const StepTrace&) = delete;
  StepTrace& operator=(const StepTrace&) = delete;

  // Before the step, on all ranks: the trace begins or ends here, if it does. It ends where the step behind its last one begins.
  void at_step(int64_t step);
  // If it is under way, it ends here. Collective.
  void end();

 private:
  class Device;

  std::string events();

  std::optional<TraceSteps> steps_;
  std::filesystem::path file_;
  comm::Communicator& comm_;
  std::unique_ptr<Device> device_;
  std::chrono::steady_clock::time_point begin_;
  bool under_way_ = false;
};

}  // namespace berth::train
