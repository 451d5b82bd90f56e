// A task as evaluation and prediction see it: its metrics and what is said of a new text. One file a task family; the table is in
// task.cc. The head and its loss are in model/heads.h, what the task looks like in files in data/features/task.h.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "data/features/task.h"
#include "data/pipeline/batch.h"
#include "trainer/model/config.h"
#include "trainer/report/report.h"
#include "trainer/torch.h"

namespace berth::train {

// What evaluation keeps of one sample: just enough for the metrics, in the task's own encoding.
struct EvalRecord {
  int64_t sample = 0;
  std::string payload;
};

class Task {
 public:
  virtual ~Task() = default;

  // Writes what the head needs (label names, problem_type) into the config before the model is built.
  virtual void configure(BertConfig& config, const std::vector<std::string>& label_names) const = 0;

  // Evaluation: appends one record a sample. `logits` are Model::logits() on the CPU in fp32.
  virtual void record(const std::vector<at::Tensor>& logits, const data::Batch& batch, std::vector<EvalRecord>& out) const = 0;
  // All samples' records in order of sample id -> metrics, without the "eval_" prefix; the first is "loss".
  virtual Metrics metrics(const std::vector<EvalRecord>& records, const BertConfig& config) const = 0;

  // Prediction: one JSON object a sample, e.g. {"label": ..., "score": ...}; `with_logits`: the raw outputs too.
  virtual std::vector<nlohmann::ordered_json> predictions(const std::vector<at::Tensor>& logits, const data::Batch& batch,
                                                          const BertConfig& config, bool with_logits) const = 0;
};

// Throws Error(kUsage) for a task that cannot be trained yet.
const Task& find_task(data::TaskKind kind);

}  // namespace berth::train
