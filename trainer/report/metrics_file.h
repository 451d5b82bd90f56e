// metrics.jsonl: one JSON object a line, each a record as in Hugging Face's log history:
//
//   {"step": 100, "epoch": 0.5, "loss": …, "learning_rate": …, "grad_norm": …, "tokens_per_second": …, "samples_per_second": …}
//   {"step": 200, "epoch": 1.0, "eval_loss": …, "eval_accuracy": …, "eval_runtime": …}
//   {"step": 600, "epoch": 3.0, "train_loss": …, "train_runtime": …, "train_device": "NVIDIA H200"}   once, when the run is complete
//
// With them "mfu" (where the GPU's peak is known), "mem_cpu_peak" and "mem_gpu_peak" (bytes; rank 0's so far, train_…: of any rank).
// Values that are not finite are null. The file is one continuous curve over all resumes: no step is in it twice.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/files/record_file.h"
#include "trainer/report/report.h"

namespace berth::train {

using LogRecord = nlohmann::ordered_json;

// The value: counts are integers, as Hugging Face writes them; what is not finite is null.
nlohmann::ordered_json json_value(const Metric& metric);

// The value, or null if it is not finite.
nlohmann::ordered_json json_value(double value);

LogRecord make_record(int64_t step, const Metrics& values);
LogRecord make_record(const TrainSummary& summary);  // with "train_device"

// The records of a metrics.jsonl in order. Lines that are no record (the last one of a job that was killed) are left out; no
// file: none.
std::vector<LogRecord> read_records(const std::filesystem::path& path);

class MetricsFile : public Sink {
 public:
  // Goes on after step `resume_step`: what `history`, the checkpoint's log history (a JSON array), has up to there, but for a closing
  // record, takes the place of what the file holds (atomically), so that records that an earlier job could not write are there, too.
  // 0 starts afresh. Failures are warnings (data/files/record_file.h).
  MetricsFile(const std::filesystem::path& path, int64_t resume_step,
              const nlohmann::ordered_json& history = nlohmann::ordered_json::array());

  void log(const LogReport& report) override;
  void eval(const EvalReport& report) override;
  void finish(const TrainSummary& summary) override;

 private:
  void append(const LogRecord& record);
  data::RecordFile file_;
};

}  // namespace berth::train
