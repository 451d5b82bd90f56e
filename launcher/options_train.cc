#include <CLI/CLI.hpp>

#include "data/check.h"
#include "launcher/option_parser.h"
#include "trainer/run/time_limit.h"

namespace berth::launch {
namespace {

void add_train_data(Parser& p, train::TrainOptions& o) {
  p.group("Run");
  p.add("--model,--model-name-or-path", o.model,
        "pretrained BERT, DistilBERT or ELECTRA: a folder, or a name in the local Hugging Face cache")
      ->type_name("DIR");
  p.add("--data", o.data, "the .h5 file that berth prepare wrote");
  p.add("--fold", o.fold, "of data with folds (berth prepare --folds): evaluate on this one, train on all others");
  p.add("--output-dir", o.output_dir, "the run folder: final model, checkpoints, results, logs")->type_name("DIR");
  p.add("--overwrite-output-dir", o.overwrite_output_dir, "start afresh over an existing run");
  p.add_named("--resume-from-checkpoint", "auto", "auto (newest valid one in the run folder), none, or a checkpoint folder",
              [&o](const std::string& choice) { o.resume = train::parse_resume(choice); })
      ->type_name("{auto|none}DIR");
  p.add_list("--allow-change", o.allow_change,
             "go on although these options are not the checkpoint's, by name: learning_rate,max_steps,data,…; or all");
  p.add("--from-scratch", o.from_scratch, "random weights; only the model folder's config and tokenizer are used");
  p.add("--seed", o.seed, "of initialisation, dropout and the order of samples");
  p.add("--data-seed", o.data_seed, "of the order of samples alone");
}

void add_batch(Parser& p, train::TrainOptions& o) {
  p.group("Batch and length");
  train::BatchOptions& b = o.batch;
  p.add("--per-device-train-batch-size", b.per_device_train_batch_size, "samples of one micro-batch of one rank");
  p.add("--per-device-eval-batch-size", b.per_device_eval_batch_size, "samples of one micro-batch in evaluation");
  p.add("--gradient-accumulation-steps", b.gradient_accumulation_steps, "micro-batches a step");
  p.add("--global-batch-size", b.global_batch_size,
        "samples a step, whatever the number of ranks; 0: per device x ranks x accumulation; kept when a run goes on, unless "
        "another number is given, which holds from there on");
  p.add("--auto-find-batch-size", b.auto_find_batch_size,
        "halve the micro-batch until every GPU's memory suffices for it, and make as many more of them: steps stay the same");
  p.add("--dataloader-drop-last", b.drop_last, "drop an epoch's last, smaller batch");
  p.add("--num-train-epochs", o.num_train_epochs, "epochs; fractions are allowed");
  p.add("--max-steps", o.max_steps, "steps, whatever the epochs say; -1: as many as these have");
  p.add_named("--max-time", "", "save and stop, with exit code 75, before this job is so old: seconds, or [D-]HH:MM:SS",
              [&o](const std::string& text) { o.max_time = train::parse_duration("--max-time", text); })
      ->type_name("TIME");
  p.add("--weighted-sampling", b.weighted_sampling,
        "classification: draw the samples of an epoch with replacement, each class as often as any other, however few samples it "
        "has");
  p.add("--max-train-samples", b.max_train_samples, "use only the first so many; -1: all");
  p.add("--max-eval-samples", b.max_eval_samples, "evaluate only the first so many; -1: all");
}

void add_optimizer(Parser& p, train::TrainOptions& o) {
  p.group("Optimizer and schedule");
  p.add_choice("--optim", "adamw", {"adamw", "lamb"}, "the optimizer",
               [&o](const std::string& name) { o.optimizer.optim = train::parse_optim(name); });
  p.add("--learning-rate", o.optimizer.learning_rate, "peak learning rate");
  p.add("--layerwise-lr-decay", o.optimizer.layerwise_lr_decay,
        "each layer learns at so many times the rate of the one above it, embeddings below the first; 1: all alike");
  p.add("--head-learning-rate", o.optimizer.head_learning_rate, "peak of what is not the encoder; default: the learning rate");
  p.add("--weight-decay", o.optimizer.weight_decay, "as AdamW has it, never on biases and LayerNorm");
  p.add("--adam-beta1", o.optimizer.beta1, "decay of the mean of the gradients");
  p.add("--adam-beta2", o.optimizer.beta2, "decay of the mean of their squares");
  p.add("--adam-epsilon", o.optimizer.epsilon, "added to the root of that mean, against division by zero");
  p.add("--ema-decay", o.optimizer.ema_decay,
        "evaluate and save an exponential moving average of the weights: so much of it stays in each step; 0: off");
  p.add("--max-grad-norm", o.optimizer.max_grad_norm, "clip the global gradient norm; 0: off");
  p.add_choice("--lr-scheduler-type", "linear",
               {"linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup", "inverse_sqrt",
                "reduce_lr_on_plateau", "cosine_with_min_lr", "cosine_warmup_with_min_lr", "warmup_stable_decay"},
               "how the learning rate goes after its warm-up",
               [&o](const std::string& name) { o.lr_scheduler_type = train::parse_schedule(name); });
  p.add_named("--lr-scheduler-kwargs", "{}", "what else the schedule is told, as transformers has it: '{\"min_lr_rate\": 0.1}'",
              [&o](const std::string& json) { o.lr_scheduler_kwargs = train::parse_schedule_kwargs(json); });
  p.add("--warmup-steps", o.warmup_steps, "steps in which the learning rate rises; below 1 a share of the run");
  p.add("--warmup-ratio", o.warmup_ratio, "share of the run in which the learning rate rises");
}

void add_model(Parser& p, train::TrainOptions& o) {
  p.group("Model and precision");
  train::ModelOptions& m = o.model_options;
  p.add("--hidden-dropout-prob", m.hidden_dropout_prob, "dropout of hidden states; default: the model's");
  p.add("--attention-probs-dropout-prob", m.attention_probs_dropout_prob, "dropout of attention; default: the model's");
  p.add("--classifier-dropout", m.classifier_dropout,
        "dropout before the classifier, DistilBERT's seq_classif_dropout; default: the model's");
  p.add_named_list(
      "--head-hidden-sizes",
      "hidden layers of the head, as in 256,64, before its classifier; none: without; default: the model's. transformers loads "
      "such a model with trust_remote_code=True",
      [&m](const auto& sizes) { m.head_hidden_sizes = train::parse_hidden_sizes(sizes); });
  p.add("--head-dropout", m.head_dropout, "after each of them; default: the model's, else 0.1");
  p.add_choice("--head-activation", "", {"relu", "gelu", "gelu_new", "tanh"}, "in each of them; default: the model's, else relu",
               [&m](const std::string& name) { m.head_activation = train::parse_head_activation(name); });
  p.add_choice("--pooling", "", {"pooler", "cls", "mean", "max"},
               "what the head sees of a text: pooler (as transformers' classes), cls (the first token's hidden state), mean or "
               "max of all tokens'; default: the model's, else pooler",
               [&m](const std::string& name) { m.pooling = train::parse_text_pooling(name); });
  p.add("--label-smoothing-factor", m.label_smoothing_factor, "share of the target that is spread over all classes; 0: off");
  p.add_list(
      "--class-weights", m.class_weights,
      "classification, token classification: what a target of each class counts in the training loss: balanced (as "
      "scikit-learn), label=number,…, or a file (a JSON object, or lines of label, tab, number). The loss is divided by the "
      "weights of all ranks' targets; evaluation and eval_loss know no weights");
  p.add_list("--pos-weight", m.pos_weight,
             "multi-label: what the positives of each label count in the training loss: balanced (negatives / positives), "
             "label=number,…, a number for all, or a file as above");
  p.add_choice("--document-pooling", "mean", {"mean", "max", "first"},
               "what the logits of a long text's windows (berth prepare --doc-stride) become: their mean, max, or the first "
               "window's",
               [&m](const std::string& name) { m.document_pooling = train::parse_document_pooling(name); });
  p.add("--ignore-mismatched-sizes", m.ignore_mismatched_sizes, "begin with a new head where the model's has another shape");
  p.add("--freeze", m.freeze, "embeddings, encoder, layer.N, or N: the embeddings and the first N layers");
  add_precision(p, m.precision);
  p.add("--gradient-checkpointing", m.gradient_checkpointing, "recompute activations in backward: less memory, more time");
}

void add_evaluation(Parser& p, train::TrainOptions& o) {
  p.group("Evaluation and checkpoints");
  train::EvalSaveOptions& e = o.eval_save;
  p.add_choice("--eval-strategy,--evaluation-strategy", "no", {"no", "steps", "epoch"}, "when to evaluate",
               [&e](const std::string& name) { e.eval_strategy = train::parse_strategy(name); });
  p.add("--eval-steps", e.eval_steps,
        "steps from one evaluation to the next, and at the end; 0: logging steps, 500 if these are not given; below 1 a share of "
        "the run");
  p.add("--eval-delay", e.eval_delay, "epochs or steps before the first evaluation");
  p.add("--eval-on-start", e.eval_on_start, "also evaluate before the first step");
  p.add_choice("--save-strategy", "steps", {"no", "steps", "epoch", "best"},
               "when to save a checkpoint; best: whenever the metric improves",
               [&e](const std::string& name) { e.save_strategy = train::parse_strategy(name); });
  p.add("--save-steps", e.save_steps, "steps from one checkpoint to the next; below 1 a share of the run");
  p.add("--save-seconds", e.save_seconds, "also save when so many seconds have passed since the last save; 0: off");
  p.add("--save-only-model", e.save_only_model,
        "checkpoints hold the model alone: smaller, and a run cannot go on from them, but for the one of a stop by a signal");
  p.add("--save-total-limit", e.save_total_limit, "checkpoints to keep, the best and the only valid one in any case; 0: all");
  p.add("--load-best-model-at-end", e.load_best_model_at_end, "the final model is the best checkpoint's");
  p.add("--metric-for-best-model", e.metric_for_best_model, "by which models are compared: accuracy, f1, …; default: loss")
      ->type_name("NAME");
  p.add("--greater-is-better", e.greater_is_better, "of that metric; default: false for losses, perplexity and mse, else true");
  p.add("--early-stopping-patience", e.early_stopping_patience, "stop after so many evaluations without improvement; 0: off");
  p.add("--early-stopping-threshold", e.early_stopping_threshold, "what counts as an improvement");
}

void add_logging(Parser& p, TrainCommand& c) {
  p.group("Logging");
  train::LoggingOptions& l = c.options.logging;
  p.add("--logging-steps", l.logging_steps,
        "steps from one logged loss to the next; 0: 500, or a fiftieth of the run if that is less; below 1 a share of the run");
  p.add("--logging-first-step", l.logging_first_step, "also log the first step");
  p.add_choices("--report-to", {"jsonl", "tensorboard", "both", "none"}, "files for the curves",
                [&l](const std::vector<std::string>& names) { l.report_to = train::parse_report_to(names); })
      ->default_str("jsonl,tensorboard");
  p.add("--logging-dir", l.logging_dir, "of TensorBoard; default: tensorboard/ in the run folder")->type_name("DIR");
  p.add_named("--trace-steps", "",
              "write these steps' timeline, what each rank and GPU did when, to trace.json in the run folder, for "
              "https://ui.perfetto.dev: a step, or as in 10-12",
              [&l](const std::string& text) { l.trace_steps = train::parse_trace_steps(text); })
      ->type_name("STEPS");
  p.add("--disable-tqdm", c.disable_tqdm, "no progress bar, plain lines");
  p.add_choice("--on-nan", "stop", {"stop", "skip"}, "what to do at a step that is not finite: stop (exit code 4) or skip it",
               [&c](const std::string& what) {
                 check_usage(what == "stop" || what == "skip", "--on-nan ", what, " is not known; use stop or skip");
                 c.options.on_nan = what == "skip" ? train::OnNan::kSkip : train::OnNan::kStop;
               });
}

void add_train_options(CLI::App& app, TrainCommand& c) {
  Parser p(app);
  add_train_data(p, c.options);
  add_batch(p, c.options);
  add_optimizer(p, c.options);
  add_model(p, c.options);
  add_masks(p, c.options.masks);
  add_evaluation(p, c.options);
  add_answers(p, c.options.predictions.spans);
  add_decisions(p, c.options.predictions);
  add_logging(p, c);
  add_device(p, c.device);
  p.add_choice(
      "--zero", "auto", {"auto", "0", "1"},
      "1: each rank has AdamW's moments of its share of the parameters (ZeRO-1: less memory, more time); 0: of all, on CPUs "
      "together with the ranks of its host; auto: 1 where GPUs' memory wants it, or for two CPU hosts of one rank",
      [&c](const std::string& name) { c.options.zero = train::parse_zero(name); });
  p.add("--ddp-bucket-cap-mb", c.options.ddp_bucket_cap_mb,
        "size of the gradient buckets that are reduced while backward goes on");
}

// What there is no run without.
void require_run(CLI::App& app) {
  for (const char* name : {"--model", "--data", "--output-dir"}) app.get_option(name)->required();
}

}  // namespace

void add_train(CLI::App& app, TrainCommand& c) {
  add_train_options(app, c);
  require_run(app);
}

void add_check(CLI::App& app, CheckCommand& c) {
  Parser p(app);
  p.group("Check");
  p.add("--json", c.json, "one JSON object, for programs; else a line for each finding");
  add_train_options(app, c.train);
  require_run(app);
}

void add_sweep(CLI::App& app, SweepCommand& c) {
  Parser p(app);
  p.group(kSweepGroup);
  train::SweepOptions& o = c.sweep;
  app.add_option(
         "--search", o.search,
         "an option of berth train and its values: learning-rate=1e-5,2e-5 (| instead of commas where values have commas), or a "
         "range to draw from: uniform(a,b), loguniform(a,b), randint(a,b); given for each option")
      ->group(kSweepGroup)
      ->type_name("OPTION=VALUES");
  p.add("--num-configurations", o.num_configurations, "draw so many combinations at random; 0: try all of them");
  p.add("--num-seeds", o.num_seeds,
        "runs of each combination (and fold, if the data have folds), with --seed and those after it");
  p.add("--ranks-per-trial", o.ranks_per_trial,
        "ranks that train a run together; groups of so many take one run after the other");
  p.add("--halving-factor", o.halving_factor,
        "successive halving: all combinations train for a part of their steps, the best of so many go on for so many times as "
        "long, and so on; 0: all train to the end");
  p.add("--keep-best", o.keep_best,
        "models that stay, the ensemble that berth predict --model SWEEP is: of the best configuration, and where it has fewer "
        "of the next");
  add_train_options(app, c.train);
  require_run(app);
}

void add_scale(CLI::App& app, ScaleCommand& c) {
  Parser p(app);
  p.group("Scaling");
  ScaleOptions& o = c.scale;
  p.add_list("--ranks", o.ranks, "numbers of ranks to predict for")->capture_default_str();
  p.add_list("--platform", o.platforms,
             "machines to predict for; ethernet: 25 Gbit/s; infiniband: 200 Gbit/s; nvlink: 8 GPUs and 8 x 400 Gbit/s a node; "
             "measured: the links between the ranks that this was started on, if there are several")
      ->capture_default_str()
      ->type_name("{ethernet|infiniband|nvlink|measured}");
  p.add("--ranks-per-node", o.ranks_per_node, "of these machines, but for those measured");
  p.add("--json", o.json, "also write what was measured and predicted to this file");
  p.add("--from", o.from,
        "measure nothing: predict from such a file; else the steps measured are those of the options of berth train, --max-steps "
        "of them (30), and no run folder is made");
  add_train_options(app, c.train);
}

}  // namespace berth::launch
