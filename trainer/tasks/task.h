// A task as evaluation and prediction see it: its metrics and what is said of a new text. One file a task family; the table is in
// task.cc. The head and its loss are in model/heads.h, what the task looks like in files in data/samples/task.h.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "data/pipeline/masking.h"
#include "data/samples/batch.h"
#include "data/samples/collate.h"
#include "data/samples/record.h"
#include "data/samples/sample.h"
#include "data/samples/task.h"
#include "data/store/dataset.h"
#include "data/tokenizer/bert_tokenizer.h"
#include "trainer/metrics/metrics.h"
#include "trainer/model/config.h"
#include "trainer/tasks/prediction_options.h"

namespace at {
class Tensor;  // so that this header compiles without libtorch
}

namespace berth::train {

// What evaluation keeps of one sample: just enough for the metrics, in the task's own encoding.
struct EvalRecord {
  int64_t sample = 0;
  std::string payload;
};

// New texts to predict, and what the features made of them: any number of samples a record, in order, with offsets.
struct NewTexts {
  std::vector<data::Record> records;
  std::vector<data::Sample> samples;
  std::vector<size_t> record_of;  // [samples] index into records
  data::Batch batch;              // all samples
  const data::BertTokenizer* tokenizer = nullptr;
};

struct AnalysisOptions;

// What the metrics may look at besides the records.
struct EvalContext {
  const BertConfig& config;
  const data::Split& split;
  const PredictionOptions& options;
};

struct Evaluation {
  Metrics metrics;                                           // without the "eval_" prefix; the first is "loss"
  std::map<std::string, nlohmann::ordered_json> files = {};  // what is written beside the results, by file name
};

class Task {
 public:
  virtual ~Task() = default;

  // Writes what the head needs (label names, problem_type) into the config before the model is built.
  virtual void configure(BertConfig& config, const std::vector<std::string>& label_names) const = 0;

  // Options that do not fit a model with these labels: Error(kUsage), before anything is computed.
  virtual void check_options(const PredictionOptions& options, const std::vector<std::string>&) const {
    check_usage(options.thresholds.empty(), "--thresholds is for multi-label models; this one is of another task");
  }

  // What is done to each batch of a prepared split before the model sees it; null for tasks without masks.
  virtual data::BatchTransform transform(const data::Vocab&, const data::MaskOptions&) const { return {}; }

  // Evaluation: appends one record a sample. `logits` are Model::logits() on the CPU in fp32.
  virtual void record(const std::vector<at::Tensor>& logits, const data::Batch& batch, const PredictionOptions& options,
                      std::vector<EvalRecord>& out) const = 0;
  // Of all samples' records, in order of sample id.
  virtual Evaluation evaluate(const std::vector<EvalRecord>& records, const EvalContext& context) const = 0;
  // What else they show, for people (analysis.h); null: nothing.
  virtual nlohmann::ordered_json analyse(const std::vector<EvalRecord>&, const EvalContext&, const AnalysisOptions&) const {
    return nullptr;
  }

  // Before a batch of new texts is computed: labels, where the head has to be told what to predict.
  virtual void mark_targets(const data::Vocab&, data::Batch&) const {}
  // Prediction in two steps, between which an ensemble averages: what the head's outputs say as probabilities (or, of a
  // regression, as numbers), in fp64. `logits` as above.
  virtual std::vector<at::Tensor> probabilities(const std::vector<at::Tensor>& logits, const data::Batch& batch) const = 0;
  // One JSON object a record, e.g. {"label": ..., "score": ...}. Of an ensemble, `probabilities` and `logits` are the means.
  virtual std::vector<nlohmann::ordered_json> predictions(const NewTexts& texts, const std::vector<at::Tensor>& probabilities,
                                                          const std::vector<at::Tensor>& logits, const BertConfig& config,
                                                          const PredictionOptions& options) const = 0;
  // A prediction as a person reads it: "Text: … => Label: positive (0.9876)"; "" if its JSON is what one reads.
  virtual std::string describe(const data::Record&, const nlohmann::ordered_json&) const { return ""; }
};

// Throws Error(kUsage) for a task that cannot be trained yet.
const Task& find_task(data::TaskKind kind);

}  // namespace berth::train
