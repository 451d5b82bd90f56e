// berth evaluate
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "data/pipeline/masking.h"
#include "launcher/ranks.h"
#include "trainer/tasks/prediction_options.h"
#include "trainer/use/precision.h"

namespace berth::launch {

struct EvaluateCommand {
  std::string model;
  std::filesystem::path data;
  std::string split = "validation";
  std::optional<int> fold;                 // of the training split, in the place of a split
  std::filesystem::path output_dir;        // empty: print only
  std::filesystem::path predictions_file;  // empty: none
  int64_t per_device_eval_batch_size = 8;
  int64_t max_eval_samples = -1;
  data::MaskOptions masks;  // of language models
  train::PrecisionOptions precision;
  train::PredictionOptions predictions;
  DeviceOptions device;
};

// Prints the metrics as JSON on stdout, and as log lines what else the task has to say (tables of classes, the surest mistakes); with
// output_dir also writes them to eval_results.json there, and more (eval_analysis.json, predictions.json, …). Returns the exit code.
int run_evaluate(const EvaluateCommand& command, const std::string& log_level);

}  // namespace berth::launch
