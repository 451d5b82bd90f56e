#include "launcher/training_arguments.h"

namespace berth::launch {
namespace {

using Json = nlohmann::json;
using Setting = TrainerSetting;
using Values = std::vector<std::pair<Json, std::optional<std::string>>>;

const std::string kNoEffect;
constexpr std::nullopt_t kRefused = std::nullopt;

// One of berth train's options, too, but for single values.
Setting option(const std::string& name, Json standard, std::string remark = "", Values values = {}) {
  return {name, std::move(standard), name, std::move(values), Setting::Else::kUse, std::move(remark)};
}

// The same by another name.
Setting option_as(std::string name, Json standard, std::string option, std::string remark, Values values) {
  return {std::move(name), std::move(standard), std::move(option), std::move(values), Setting::Else::kUse, std::move(remark)};
}

// Changes no result here, whatever its value.
Setting idle(std::string name, Json standard, std::string remark = "") {
  return {std::move(name), std::move(standard), "", {}, Setting::Else::kIdle, std::move(remark)};
}

// Would change results, but for its default and `values`.
Setting only(std::string name, Json standard, std::string remark, Values values = {}, std::string option = "") {
  return {std::move(name), std::move(standard), std::move(option), std::move(values), Setting::Else::kRefuse, std::move(remark)};
}

std::vector<Setting> steps_and_batches() {
  return {
      option("output_dir", "trainer_output", "a run that is there goes on; `--overwrite-output-dir` starts afresh"),
      option("per_device_train_batch_size", 8, "a step is this x ranks x accumulation, as there; or `--global-batch-size`"),
      option("gradient_accumulation_steps", 1),
      option("auto_find_batch_size", false, "only the micro-batch gets smaller: steps stay the same"),
      option("num_train_epochs", 3.0),
      option("max_steps", -1),
      option(
          "dataloader_drop_last", false,
          "Trainer drops the samples that fill no micro-batch, berth those that fill no step: with accumulation it is an error, "
          "unless --dataloader-drop-last is given on the command line"),
      only("train_sampling_strategy", "random",
           "berth shuffles, and computes no padding that group_by_length would save: set it to random"),
      idle("length_column_name", "length"),
      option("seed", 42),
      option("data_seed", nullptr, "null: the seed, as there; the order itself is berth's own"),
  };
}

std::vector<Setting> optimizer() {
  return {
      option("learning_rate", 5e-5),
      option("lr_scheduler_type", "linear", "berth has no greedy", {{"greedy", kRefused}}),
      option("lr_scheduler_kwargs", nullptr),
      option("warmup_steps", 0, "below 1 a share of the run, as there"),
      only("optim", "adamw_torch_fused", "berth has AdamW and LAMB: take adamw_torch or lamb",
           {{"adamw_torch_fused", "adamw"},
            {"adamw_torch", "adamw"},
            {"adamw_torch_xla", "adamw"},
            {"adamw_torch_npu_fused", "adamw"},
            {"adamw", "adamw"},
            {"lamb", "lamb"}},
           "optim"),
      idle("optim_args", nullptr, "AdamW has none"),
      idle("optim_target_modules", nullptr, "of GaLore and APOLLO"),
      option("weight_decay", 0.0, "not on biases and LayerNorm, as there"),
      option("adam_beta1", 0.9),
      option("adam_beta2", 0.999),
      option("adam_epsilon", 1e-8),
      option("max_grad_norm", 1.0, "0 clips nothing; null ends Trainer, too", {{nullptr, kRefused}}),
      option("label_smoothing_factor", 0.0),
      only("neftune_noise_alpha", nullptr, "berth adds no noise to embeddings; set it to null"),
      only("average_tokens_across_devices", true, "a loss is always divided by the targets of all ranks; set it to true"),
  };
}

std::vector<Setting> precision() {
  return {
      option("bf16", false, "also in evaluation"),
      option("fp16", false, "also in evaluation"),
      only("bf16_full_eval", false, "weights stay in fp32: set it to false, bf16 evaluates in bf16, too"),
      only("fp16_full_eval", false, "weights stay in fp32: set it to false, fp16 evaluates in fp16, too"),
      option("tf32", nullptr, "null: false"),
      option_as("activation_checkpointing", false, "gradient_checkpointing", "wins over `gradient_checkpointing`, as there", {}),
      idle("activation_checkpointing_kwargs", nullptr),
      option("gradient_checkpointing", false),
      idle("gradient_checkpointing_kwargs", nullptr),
      idle("torch_compile", false, "kernels are compiled already; that it switches on TF32 is `--tf32`"),
      idle("torch_compile_backend", nullptr),
      idle("torch_compile_mode", nullptr),
      idle("use_liger_kernel", false),
      idle("liger_kernel_config", nullptr),
      idle("use_cache", false, "encoders have none"),
      idle("torch_empty_cache_steps", nullptr),
  };
}

std::vector<Setting> logging() {
  return {
      option_as("logging_strategy", "steps", "logging_steps",
                "berth logs by steps: at every fiftieth of the run where Trainer would not",
                {{"steps", kNoEffect}, {"epoch", "0"}, {"no", "0"}}),
      option("logging_steps", 500, "left out of the file: a fiftieth of the run, at most 500"),
      option("logging_first_step", false),
      idle("log_on_each_node", true),
      idle("logging_nan_inf_filter", true, "a loss that is not finite ends the run: `--on-nan`"),
      idle("include_num_input_tokens_seen", "no"),
      option("log_level", "passive", "of berth's own log", {{"passive", kNoEffect}, {"critical", "error"}}),
      idle("log_level_replica", "warning"),
      option("disable_tqdm", false),
      option("report_to", Json::array(),
             "tensorboard; other integrations have no effect. metrics.jsonl and report.html are written in any case"),
      idle("run_name", nullptr),
      idle("project", "huggingface"),
      idle("trackio_space_id", nullptr),
      idle("trackio_bucket_id", nullptr),
      idle("trackio_static_space_id", nullptr),
      idle("debug", Json::array()),
      idle("skip_memory_metrics", true, "results have the memory in any case"),
  };
}

std::vector<Setting> evaluation() {
  return {
      option("eval_strategy", "no"),
      option("eval_steps", nullptr, "null: the logging steps; and at the end, as there"),
      option("eval_delay", 0),
      option("per_device_eval_batch_size", 8),
      option("eval_on_start", false),
      idle("prediction_loss_only", false, "metrics are the task's"),
      idle("eval_do_concat_batches", true),
      idle("eval_use_gather_object", false),
      idle("eval_accumulation_steps", nullptr),
      idle("include_for_metrics", Json::array()),
      idle("batch_eval_metrics", false),
      option("load_best_model_at_end", false),
      option("metric_for_best_model", nullptr, "null: loss; with or without eval_, one of the task's metrics"),
      option("greater_is_better", nullptr),
  };
}

std::vector<Setting> saving() {
  return {
      option("save_strategy", "steps"),
      option("save_steps", 500, "and at the end, as there"),
      option("save_total_limit", nullptr,
             "null: all; the best is kept whenever there are evaluations, not only with load_best_model_at_end"),
      option("save_only_model", false),
      idle("save_on_each_node", false, "one run folder that all ranks see"),
      idle("enable_jit_checkpoint", false, "always: SIGTERM, USR1 and others save"),
      option("resume_from_checkpoint", nullptr, "null: auto, which goes on from the newest checkpoint that is in the run folder"),
      idle("ignore_data_skip", false, "a resume finds its place at once"),
      idle("restore_callback_states_from_checkpoint", false, "early stopping always goes on"),
      only("push_to_hub", false, "berth sends nothing anywhere; set it to false, and upload the run folder afterwards"),
      idle("hub_token", "<HUB_TOKEN>"),
      idle("hub_private_repo", nullptr),
      idle("hub_model_id", nullptr),
      idle("hub_strategy", "every_save"),
      idle("hub_always_push", false),
      idle("hub_revision", nullptr),
  };
}

std::vector<Setting> machine() {
  return {
      option_as("use_cpu", false, "device", "else GPUs are taken where there are any", {{true, "cpu"}, {false, kNoEffect}}),
      only("accelerator_config", nullptr, "give its settings here, not the name of their file"),
      only("accelerator_config.split_batches", false,
           "batches are per device; set it to false, and give the samples of a step as --global-batch-size"),
      idle("accelerator_config.dispatch_batches", nullptr),
      idle("accelerator_config.even_batches", true, "no sample is repeated to fill a batch"),
      idle("accelerator_config.use_seedable_sampler", true),
      idle("accelerator_config.non_blocking", false),
      only("accelerator_config.gradient_accumulation_kwargs", nullptr, "set it to null; see gradient_accumulation_steps"),
      only("parallelism_config", nullptr, "ranks share the batch and nothing else; set it to null"),
      only("fsdp", nullptr, "every rank has all parameters; set it to null, and --zero 1 shares AdamW's moments",
           {{false, kNoEffect}, {"", kNoEffect}, {Json::array(), kNoEffect}}),
      idle("fsdp_config", nullptr, "of fsdp"),
      only("deepspeed", nullptr, "set it to null and give its settings as berth train's options; --zero 1 is its stage 1"),
      option("ddp_bucket_cap_mb", nullptr, "null: 25, as there"),
      option("ddp_timeout", 1800),
      idle("ddp_find_unused_parameters", nullptr),
      idle("ddp_broadcast_buffers", nullptr),
      idle("ddp_static_graph", nullptr),
      idle("ddp_backend", nullptr),
      idle("local_rank", -1, "the launcher tells it"),
      idle("full_determinism", false, "always"),
      idle("dataloader_num_workers", 0, "batches are prepared ahead in any case"),
      idle("dataloader_pin_memory", true),
      idle("dataloader_persistent_workers", false),
      idle("dataloader_prefetch_factor", nullptr),
      idle("dataloader_multiprocessing_context", nullptr),
      idle("dataloader_in_order", true),
  };
}

std::vector<Setting> scripts() {
  return {
      idle("do_train", false, "`berth train` trains"),
      idle("do_eval", false, "`eval_strategy` says when it is evaluated, `berth evaluate` does it by itself"),
      idle("do_predict", false, "`berth predict` predicts"),
      idle("remove_unused_columns", true),
      idle("label_names", nullptr, "the data set knows its labels: `berth prepare`"),
  };
}

std::vector<Setting> of_transformers_4() {
  return {
      option("evaluation_strategy", "no", "`eval_strategy`"),
      option("warmup_ratio", 0.0, "where `warmup_steps` is 0, as there"),
      option("logging_dir", nullptr, "of TensorBoard"),
      option("overwrite_output_dir", false),
      option_as("no_cuda", false, "device", "`use_cpu`", {{true, "cpu"}, {false, kNoEffect}}),
      option_as("per_gpu_train_batch_size", nullptr, "per_device_train_batch_size", "wins over it, as there", {}),
      option_as("per_gpu_eval_batch_size", nullptr, "per_device_eval_batch_size", "wins over it, as there", {}),
      only("adafactor", false, "berth has AdamW and LAMB: set it to false"),
      only("group_by_length", false, "berth shuffles, and computes no padding that this would save: set it to false"),
      only("sharded_ddp", "", "set it to \"\"; --zero 1 shares AdamW's moments", {{Json::array(), kNoEffect}}),
      only("split_batches", false,
           "batches are per device; set it to false, and give the samples of a step as --global-batch-size"),
      idle("dispatch_batches", nullptr),
      idle("fsdp_min_num_params", 0, "of fsdp"),
      idle("fsdp_transformer_layer_cls_to_wrap", nullptr, "of fsdp"),
      idle("save_safetensors", true, "always"),
      idle("fp16_opt_level", "O1"),
      idle("fp16_backend", "auto"),
      idle("half_precision_backend", "auto"),
      idle("jit_mode_eval", false),
      idle("use_ipex", false),
      idle("torchdynamo", nullptr),
      idle("use_mps_device", false),
      idle("tpu_num_cores", nullptr),
      idle("tpu_metrics_debug", false),
      idle("mp_parameters", ""),
      idle("past_index", -1),
      idle("use_legacy_prediction_loop", false),
      idle("include_inputs_for_metrics", false),
      idle("include_tokens_per_second", false, "always logged"),
      idle("ray_scope", "last"),
      idle("push_to_hub_model_id", nullptr),
      idle("push_to_hub_organization", nullptr),
      idle("push_to_hub_token", "<PUSH_TO_HUB_TOKEN>"),
  };
}

}  // namespace

const std::vector<TrainerSettings>& trainer_settings() {
  static const std::vector<TrainerSettings> all{
      {"Steps and batches", steps_and_batches()},
      {"Optimizer and schedule", optimizer()},
      {"Precision, memory and speed", precision()},
      {"Logging", logging()},
      {"Evaluation and the best model", evaluation()},
      {"Checkpoints and the Hub", saving()},
      {"Machine and ranks", machine()},
      {"Scripts and columns", scripts()},
      {"Only in transformers 4", of_transformers_4()},
  };
  return all;
}

}  // namespace berth::launch
