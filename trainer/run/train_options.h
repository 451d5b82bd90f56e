// Everything a training run can be told. Names and defaults are those of Hugging Face's TrainingArguments unless a comment says
// why not.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/pipeline/masking.h"
#include "trainer/model/config.h"
#include "trainer/model/custom_head.h"
#include "trainer/optim/adamw_options.h"
#include "trainer/optim/schedule.h"
#include "trainer/run/best_model.h"
#include "trainer/tasks/prediction_options.h"
#include "trainer/use/precision.h"

namespace berth::train {

enum class Strategy { kNo, kSteps, kEpoch, kBest };  // kBest: for saving only, whenever the metric improves
Strategy parse_strategy(const std::string& name);    // Error(kUsage) listing the names

// --report-to: which files a run's log goes to besides the results.
struct ReportTo {
  bool jsonl = true;
  bool tensorboard = true;
};
// "jsonl", "tensorboard"; "all" or "both"; "none". Error(kUsage) listing the names.
ReportTo parse_report_to(const std::vector<std::string>& names);

// --resume-from-checkpoint.
struct Resume {
  enum class From { kNewest, kNothing, kFolder };
  From from = From::kNewest;          // kNewest: the newest valid checkpoint in output_dir, if there is one
  std::filesystem::path folder = {};  // kFolder: this checkpoint
};
// "auto", "none", transformers' "true" and "false", else a folder.
Resume parse_resume(const std::string& choice);

enum class OnNan { kStop, kSkip };

// Whether ranks share AdamW's moments and update (ZeRO, stage 1). kAuto: where GPUs' memory wants it.
enum class Zero { kOff, kOn, kAuto };
Zero parse_zero(const std::string& name);  // "0", "1", "auto"; Error(kUsage) listing them

// --trace-steps: from which to which, counted from 1.
struct TraceSteps {
  int64_t first = 1, last = 1;
};
inline constexpr int64_t kMostTraced = 100;
TraceSteps parse_trace_steps(const std::string& text);  // "12" or "10-12"; Error(kUsage)

// More than anybody needs; with them products of sizes and numbers of ranks stay far from overflow.
inline constexpr int64_t kMostBatch = int64_t{1} << 20;   // samples of a micro-batch; micro-batches of a step
inline constexpr int64_t kMostSteps = 1'000'000'000'000;  // of a run; samples of a step

struct BatchOptions {
  int64_t per_device_train_batch_size = 8;  // samples of one micro-batch at most
  int64_t per_device_eval_batch_size = 8;
  int64_t gradient_accumulation_steps = 1;
  int64_t global_batch_size = 0;      // 0: per device * ranks * accumulation
  bool auto_find_batch_size = false;  // the micro-batch is halved until the GPU's memory suffices; never the global batch
  bool drop_last = false;             // --dataloader-drop-last
  bool weighted_sampling = false;     // samples are drawn with replacement, each class as often as any other
  int64_t max_train_samples = -1;
  int64_t max_eval_samples = -1;

  void validate() const;
};

struct ModelOptions {
  std::optional<double> hidden_dropout_prob, attention_probs_dropout_prob, classifier_dropout;  // unset: the config's
  // Of the head's hidden layers and what they see (model/custom_head.h); unset: the config's.
  std::optional<std::vector<int64_t>> head_hidden_sizes;
  std::optional<double> head_dropout;
  std::optional<Activation> head_activation;
  std::optional<TextPooling> pooling;
  std::vector<std::string> freeze;  // "embeddings", "encoder", "layer.3", or a number N: embeddings and the first N layers
  PrecisionOptions precision;
  bool gradient_checkpointing = false;
  double label_smoothing_factor = 0.0;
  // "balanced"; "label=number" for each label; or a file (label_weights.h). Of pos_weight also one number for all.
  std::vector<std::string> class_weights = {}, pos_weight = {};
  std::optional<DocumentPooling> document_pooling;  // of data with a doc_stride; unset: the model's, or the mean
  bool ignore_mismatched_sizes = false;             // a pretrained head of another shape is left alone and a new one begun
};

struct EvalSaveOptions {
  Strategy eval_strategy = Strategy::kNo;
  double eval_steps = 0;  // 0: logging_steps if given, else 500; below 1: a share of the run
  double eval_delay = 0;  // epochs or steps to wait before the first evaluation
  Strategy save_strategy = Strategy::kSteps;
  double save_steps = 500;       // below 1: a share of the run
  double save_seconds = 0;       // also save when so many seconds have passed since the last save; 0: off
  int64_t save_total_limit = 0;  // 0: keep all
  bool load_best_model_at_end = false;
  bool eval_on_start = false;             // an evaluation before the first step: never the best, no reason to stop
  bool save_only_model = false;           // checkpoints without what training goes on from, but for that of a stop
  std::string metric_for_best_model;      // "": eval_loss
  std::optional<bool> greater_is_better;  // unset: false for losses, perplexity and mse, true otherwise
  int64_t early_stopping_patience = 0;    // evaluations without improvement; 0: off
  double early_stopping_threshold = 0.0;

  void validate() const;
  BestModelOptions best_model() const { return {metric_for_best_model, greater_is_better, early_stopping_threshold}; }
};

struct LoggingOptions {
  double logging_steps = 0;  // 0: 500, or a fiftieth of the run if that is less; below 1: a share of the run
  bool logging_first_step = false;
  ReportTo report_to;
  std::filesystem::path logging_dir;  // empty: output_dir/tensorboard
  std::optional<TraceSteps> trace_steps;
};

struct TrainOptions {
  std::filesystem::path data;
  std::optional<int> fold;  // of data with folds: evaluate on it, train on the others; unset: train on all
  std::string model;        // a folder, or a name in the local Hugging Face cache
  std::filesystem::path output_dir;
  bool overwrite_output_dir = false;
  Resume resume;                          // --resume-from-checkpoint; there: none
  std::vector<std::string> allow_change;  // --allow-change: names of fixed_options.h that may differ from the checkpoint's
  uint64_t seed = 42;
  std::optional<uint64_t> data_seed;  // of the order of samples; unset: seed
  double num_train_epochs = 3.0;
  int64_t max_steps = -1;          // > 0 wins over num_train_epochs
  std::optional<double> max_time;  // seconds of this job, after which it has saved and stopped by itself
  BatchOptions batch;
  ModelOptions model_options;
  AdamWOptions optimizer;
  ScheduleType lr_scheduler_type = ScheduleType::kLinear;
  ScheduleKwargs lr_scheduler_kwargs = ScheduleKwargs::object();
  double warmup_steps = 0;
  double warmup_ratio = 0;
  EvalSaveOptions eval_save;
  PredictionOptions predictions;  // of its evaluations
  LoggingOptions logging;
  data::MaskOptions masks;  // of language models; its seed is the run's
  OnNan on_nan = OnNan::kStop;
  double ddp_bucket_cap_mb = 25;
  Zero zero = Zero::kAuto;
  bool from_scratch = false;  // random weights: only the folder's config and tokenizer are used

  void validate() const;  // Error(kUsage)
};

}  // namespace berth::train
