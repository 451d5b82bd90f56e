// Evaluation over all ranks: the same numbers on any number of them.
#pragma once

#include <functional>

#include "data/store/dataset.h"
#include "trainer/comm/communicator.h"
#include "trainer/tasks/task.h"
#include "trainer/use/precision.h"

namespace berth::train {

class ModelInstance;

struct EvaluateOptions {
  int64_t batch_size = 8;           // samples of one micro-batch
  int64_t max_samples = -1;         // the first so many; < 0: all
  PrecisionOptions precision = {};  // for which the model has its compute copy (ParameterStore)
  PredictionOptions predictions = {};
  data::BatchTransform transform = {};                // Task::transform()
  const data::BertTokenizer* analyse_with = nullptr;  // rank 0: the split's tokenizer, for EvalResult::analysis; null: without
  bool tell_predictions = false;                      // with it, EvalResult::predictions
};

struct EvalResult {
  Metrics metrics = {};                                      // the same on all ranks
  std::map<std::string, nlohmann::ordered_json> files = {};  // Evaluation::files, on rank 0
  nlohmann::ordered_json analysis = {};                      // Task::analyse(), on rank 0
  std::string predictions = {};                              // JSON Lines of AnalysisOptions::predictions, on rank 0
  int64_t samples = 0, batches = 0;
  double seconds = 0;
  bool stopped = false;  // given up because a stop was asked for; metrics are empty
};

// Cuts the split into fixed micro-batches (data::evaluation_batches), deals them to the ranks, gathers the records by sample id
// and computes the metrics on rank 0. `stop` is this rank's wish to stop; ranks agree on it every few batches. A collective call.
// `progress(done, total)` is called on every rank.
EvalResult evaluate(const ModelInstance& model, const data::Split& split, comm::Communicator& comm,
                    const EvaluateOptions& options, const std::function<bool()>& stop,
                    const std::function<void(int64_t, int64_t)>& progress = {});

}  // namespace berth::train
