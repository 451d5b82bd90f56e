// What a training run says about itself, as plain values, and the interface of whatever listens.
//
// Reports flow one way, on rank 0 only: train loop -> RunLog -> sinks. Nothing flows back.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "trainer/metrics/metrics.h"

namespace berth::train {

// The most memory that a process had, in bytes; 0: not known.
struct MemoryPeak {
  int64_t cpu = 0;  // resident
  int64_t gpu = 0;  // in tensors
  void raise(const MemoryPeak& other);
};

// One finished optimizer step, over all ranks.
struct StepReport {
  int64_t step = 0;  // steps finished, from 1
  double epoch = 0;  // epochs finished, with fractions
  double loss = 0;   // sum over valid targets / their number
  double learning_rate = 0;
  double grad_norm = 0;  // before clipping
  int64_t tokens = 0;
  int64_t samples = 0;
  double seconds = 0;                                            // wall time since the previous step ended
  double flops = 0;                                              // that the model asked for (trainer/model/flops.h)
  double most_flops = std::numeric_limits<double>::quiet_NaN();  // that the GPUs can do in `seconds`; NaN: not known
  MemoryPeak memory = {};                                        // of rank 0, so far; with reports that are logged
  bool skipped = false;     // not finite, so nothing was updated: loss and grad_norm mean nothing
  bool overflowed = false;  // for fp16's loss scale, so nothing was updated: grad_norm means nothing
};

// The steps since the previous log, as one.
struct LogReport {
  int64_t step = 0;  // the last of them
  double epoch = 0;
  double loss = 0;  // mean over the steps that were not skipped; NaN if all were
  double learning_rate = 0;
  double grad_norm = 0;  // of the last step that was not skipped and did not overflow
  int64_t tokens = 0;
  int64_t samples = 0;
  double seconds = 0;
  double flops = 0, most_flops = 0;
  MemoryPeak memory = {};
  int64_t skipped = 0, overflowed = 0;  // steps
};

struct EvalReport {
  int64_t step = 0;
  double epoch = 0;
  std::string prefix = "eval";  // "test" for the test split: names are prefix_name, the file is prefix_results.json
  Metrics metrics;              // without the prefix: loss, accuracy, …, runtime, samples_per_second
};

// The whole run, all resumes together.
struct TrainSummary {
  int64_t step = 0;
  double epoch = 0;
  double loss = 0;     // mean over all steps that were not skipped
  double seconds = 0;  // spent in steps
  int64_t tokens = 0;
  int64_t samples = 0;
  double flops = 0, most_flops = 0;
  MemoryPeak memory = {};   // of any rank
  std::string device = {};  // the GPU's model, or "cpu"; "": not known
  int64_t skipped = 0, overflowed = 0;
};

// A report as scalars named as the Hugging Face Trainer names them in its log history ("loss", "eval_accuracy", "train_runtime"),
// with "epoch" and without the step. Their memory is the most that was had ("train_mem_gpu_peak"), where Hugging Face's
// TrainerMemoryTracker gives differences; "mfu" is flops / most_flops, and is left out where that is not known.
Metrics scalars(const LogReport& report);
Metrics scalars(const EvalReport& report);
Metrics scalars(const TrainSummary& summary);

// Appends runtime, samples_per_second and steps_per_second, rounded as there.
void add_speed(Metrics& metrics, double seconds, int64_t samples, int64_t steps);

class Sink {
 public:
  virtual ~Sink() = default;
  virtual void started(int64_t /*done*/, int64_t /*total*/) {}     // training begins, at `done` of `total` steps
  virtual void evaluating(int64_t /*done*/, int64_t /*total*/) {}  // an evaluation has done so many of its samples
  virtual void step(const StepReport&) {}                          // every optimizer step
  virtual void log(const LogReport& report) = 0;                   // every logging_steps
  virtual void eval(const EvalReport& report) = 0;                 // every evaluation
  virtual void stopped() {}                                        // the job ends before the run, steps after the last log
  virtual void finish(const TrainSummary& summary) = 0;
};

}  // namespace berth::train
