#include "launcher/options.h"

#include <CLI/CLI.hpp>
#include <functional>

#include "data/check.h"
#include "data/words.h"
#include "trainer/run/time_limit.h"

namespace berth::launch {
namespace {

// CLI11 with berth's habits: "--some-name" registered once accepts dashes or underscores (see canonical()), defaults are shown,
// the last of two wins.
class Parser {
 public:
  Parser(CLI::App& app) : app_(app) {}

  void group(const std::string& name) { group_ = name; }

  template <class T>
  CLI::Option* add(const std::string& names, T& value, const std::string& help) {
    return app_.add_option(names, value, help)->group(group_)->capture_default_str()->take_last();
  }
  CLI::Option* add(const std::string& names, bool& value, const std::string& help) {
    return app_.add_flag(names, value, help)->group(group_)->take_last();
  }
  template <class T>
  CLI::Option* add(const std::string& names, std::optional<T>& value, const std::string& help) {
    return app_
        .add_option_function<T>(
            names, [&value](const T& given) { value = given; }, help)
        ->group(group_)
        ->take_last();
  }
  // A flag that says yes, "--name false" no, and by its absence neither.
  CLI::Option* add_flag(const std::string& names, std::optional<bool>& value, const std::string& help) {
    return app_
        .add_flag_function(
            names, [&value](int64_t given) { value = given > 0; }, help)
        ->group(group_)
        ->take_last();
  }
  CLI::Option* add(const std::string& names, std::filesystem::path& value, const std::string& help) {
    return app_
        .add_option_function<std::string>(
            names, [&value](const std::string& given) { value = given; }, help)
        ->group(group_)
        ->take_last();
  }
  CLI::Option* add_list(const std::string& names, std::vector<std::string>& values, const std::string& help) {
    return app_.add_option(names, values, help)->group(group_)->delimiter(',');
  }
  CLI::Option* add_named_list(const std::string& names, const std::string& help,
                              const std::function<void(const std::vector<std::string>&)>& set) {
    return app_.add_option_function<std::vector<std::string>>(names, set, help)->group(group_)->delimiter(',');
  }
  // May be given several times. Not a list option: CLI11 would take "[MASK] a [MASK]" for a list in brackets.
  CLI::Option* add_texts(const std::string& names, std::vector<std::string>& values, const std::string& help) {
    return app_
        .add_option_function<std::string>(
            names, [&values](const std::string& given) { values.push_back(given); }, help)
        ->group(group_)
        ->trigger_on_parse();
  }
  // A value that is parsed from its name; `shown` is the default's.
  CLI::Option* add_named(const std::string& names, const std::string& shown, const std::string& help,
                         const std::function<void(const std::string&)>& set) {
    return app_.add_option_function<std::string>(names, set, help)->group(group_)->default_str(shown)->take_last();
  }

 private:
  CLI::App& app_;
  std::string group_ = "Options";
};

void add_device(Parser& p, DeviceOptions& o) {
  p.group("Device");
  p.add("--device", o.device, "auto, cpu, cuda or cuda:N");
  p.add("--threads", o.threads, "threads of each rank; 0: OMP_NUM_THREADS, or its share of the cores");
  p.add("--ddp-timeout", o.timeout,
        "seconds until a collective that does not finish ends the job, naming the ranks that are missing");
}

void add_reader(Parser& p, data::ReaderOptions& o) {
  p.group("Input files");
  p.add_named("--format,--input-format", "auto",
              "csv, tsv, jsonl, conll, text; auto: by the name's ending, else by the first line",
              [&o](const std::string& name) { o.format = data::find_format(name); });
  p.add_named("--encoding", "utf8", "utf8 or latin1", [&o](const std::string& name) {
    check_usage(name == "utf8" || name == "utf-8" || name == "latin1", "--encoding ", name, " is not known; use utf8 or latin1");
    o.encoding = name == "latin1" ? data::TextEncoding::kLatin1 : data::TextEncoding::kUtf8;
  });
  p.add("--no-header", o.no_header, "the first row of a CSV or TSV is an example; columns are named by number, from 0");
  p.add_list("--column-names", o.column_names, "names of the columns of a CSV or TSV without a header, separated by commas");
  p.add("--text-column,--text-column-name", o.columns.text,
        "column of the text, or several to join: title,body; guessed from the usual names");
  p.add("--text-pair-column,--text-pair-column-name", o.columns.text_pair, "column of the second text of a pair; guessed");
  p.add("--choice-columns", o.columns.choices,
        "multiple choice: columns of the choices, separated by commas, or the key of a list of them; guessed");
}

void add_masks(Parser& p, data::MaskOptions& o) {
  p.group("Language models");
  p.add("--mlm-probability", o.probability,
        "share of the tokens that are masked: 80 % by [MASK], 10 % by a random token, 10 % kept");
  p.add("--whole-word-mask", o.whole_words, "mask all WordPieces of a word, always by [MASK]");
}

void add_thresholds(Parser& p, train::PredictionOptions& o) {
  p.add_list("--thresholds", o.thresholds,
             "multi-label: the probability above which a label holds: a number, or label=number,…; default: 0.5");
}

void add_decisions(Parser& p, train::PredictionOptions& o) {
  p.group("Metrics");
  add_thresholds(p, o);
  p.add("--return-entity-level-metrics", o.each_entity_type,
        "token classification: also precision, recall, f1 and number of each entity type");
  p.add_named(
      "--seqeval-scheme", "lenient",
      "token classification: what an entity is: lenient (conlleval's rules, seqeval's default), or strictly IOB1, IOB2 or "
      "IOBES (BIOES)",
      [&o](const std::string& name) { o.tag_scheme = train::parse_tag_scheme(name); });
}

void add_train_data(Parser& p, train::TrainOptions& o) {
  p.group("Run");
  p.add("--model,--model-name-or-path", o.model,
        "pretrained BERT, DistilBERT or ELECTRA: a folder, or a name in the local Hugging Face cache");
  p.add("--data", o.data, "the .h5 file that berth prepare wrote");
  p.add("--fold", o.fold, "of data with folds (berth prepare --folds): evaluate on this one, train on all others");
  p.add("--output-dir", o.output_dir, "the run folder: final model, checkpoints, results, logs");
  p.add("--overwrite-output-dir", o.overwrite_output_dir, "start afresh over an existing run");
  p.add_named("--resume-from-checkpoint", "auto", "auto (newest valid one in the run folder), none, or a checkpoint folder",
              [&o](const std::string& choice) { o.resume = train::parse_resume(choice); });
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
        "samples a step, whatever the number of ranks, kept when a run goes on; 0: per device x ranks x accumulation. Another "
        "number on a resume holds from there on");
  p.add("--auto-find-batch-size", b.auto_find_batch_size,
        "halve the micro-batch until every GPU's memory suffices for it, and make as many more of them: steps stay the same");
  p.add("--dataloader-drop-last", b.drop_last, "drop an epoch's last, smaller batch");
  p.add("--num-train-epochs", o.num_train_epochs, "epochs; fractions are allowed");
  p.add("--max-steps", o.max_steps, "steps; wins over the epochs if positive");
  p.add_named("--max-time", "", "save and stop with exit code 75 before this job is so old: seconds, or [D-]HH:MM:SS",
              [&o](const std::string& text) { o.max_time = train::parse_duration("--max-time", text); });
  p.add("--weighted-sampling", b.weighted_sampling,
        "classification: draw the samples of an epoch with replacement, each class as often as any other, however few samples it "
        "has");
  p.add("--max-train-samples", b.max_train_samples, "use only the first so many; -1: all");
  p.add("--max-eval-samples", b.max_eval_samples, "evaluate only the first so many; -1: all");
}

void add_optimizer(Parser& p, train::TrainOptions& o) {
  p.group("Optimizer and schedule");
  p.add_named("--optim", "adamw", "adamw or lamb",
              [&o](const std::string& name) { o.optimizer.optim = train::parse_optim(name); });
  p.add("--learning-rate", o.optimizer.learning_rate, "peak learning rate");
  p.add("--layerwise-lr-decay", o.optimizer.layerwise_lr_decay,
        "each layer learns at so many times the rate of the one above it, embeddings below the first; 1: all alike");
  p.add("--head-learning-rate", o.optimizer.head_learning_rate, "peak of what is not the encoder; default: the learning rate");
  p.add("--weight-decay", o.optimizer.weight_decay, "never on biases and LayerNorm");
  p.add("--adam-beta1", o.optimizer.beta1, "decay of the mean of the gradients");
  p.add("--adam-beta2", o.optimizer.beta2, "decay of the mean of their squares");
  p.add("--adam-epsilon", o.optimizer.epsilon, "added to the root of that mean, against division by zero");
  p.add("--ema-decay", o.optimizer.ema_decay,
        "evaluate and save an exponential moving average of the weights: so much of it stays in each step; 0: off");
  p.add("--max-grad-norm", o.optimizer.max_grad_norm, "clip the global gradient norm; 0: off");
  p.add_named("--lr-scheduler-type", "linear",
              "linear, cosine, cosine_with_restarts, polynomial, constant, constant_with_warmup, inverse_sqrt, "
              "reduce_lr_on_plateau, cosine_with_min_lr, cosine_warmup_with_min_lr, warmup_stable_decay",
              [&o](const std::string& name) { o.lr_scheduler_type = train::parse_schedule(name); });
  p.add_named("--lr-scheduler-kwargs", "{}", "what else the schedule is told, as transformers has it: '{\"min_lr_rate\": 0.1}'",
              [&o](const std::string& json) { o.lr_scheduler_kwargs = train::parse_schedule_kwargs(json); });
  p.add("--warmup-steps", o.warmup_steps, "steps, or below 1 a share of the run");
  p.add("--warmup-ratio", o.warmup_ratio, "share of the run");
}

void add_precision(Parser& p, train::PrecisionOptions& o) {
  p.add("--bf16", o.bf16, "activations and matrix products in bfloat16; parameters stay in fp32");
  p.add("--fp16", o.fp16, "the same in half precision, training with dynamic loss scaling; GPUs only");
  p.add("--tf32", o.tf32, "GPUs may round the factors of fp32 products to TF32, else these are of full precision");
}

void add_model(Parser& p, train::TrainOptions& o) {
  p.group("Model and precision");
  train::ModelOptions& m = o.model_options;
  p.add("--hidden-dropout-prob", m.hidden_dropout_prob, "default: the model's");
  p.add("--attention-probs-dropout-prob", m.attention_probs_dropout_prob, "default: the model's");
  p.add("--classifier-dropout", m.classifier_dropout, "DistilBERT's seq_classif_dropout; default: the model's");
  p.add_named_list(
      "--head-hidden-sizes",
      "hidden layers of the head, as in 256,64, before its classifier; none: without; default: the model's. transformers loads "
      "such a model with trust_remote_code=True",
      [&m](const auto& sizes) { m.head_hidden_sizes = train::parse_hidden_sizes(sizes); });
  p.add("--head-dropout", m.head_dropout, "after each of them; default: the model's, else 0.1");
  p.add_named("--head-activation", "", "in each of them: relu, gelu, gelu_new, tanh; default: the model's, else relu",
              [&m](const std::string& name) { m.head_activation = train::parse_head_activation(name); });
  p.add_named("--pooling", "",
              "what the head sees of a text: pooler (as transformers' classes), cls (the first token's hidden state), mean or "
              "max of all tokens'; "
              "default: the model's, else pooler",
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
  p.add_named("--document-pooling", "mean",
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
  p.add_named("--eval-strategy,--evaluation-strategy", "no", "no, steps, epoch",
              [&e](const std::string& name) { e.eval_strategy = train::parse_strategy(name); });
  p.add("--eval-steps", e.eval_steps, "default: logging steps; below 1 a share of the run");
  p.add("--eval-delay", e.eval_delay, "epochs or steps before the first evaluation");
  p.add("--eval-on-start", e.eval_on_start, "also evaluate before the first step");
  p.add_named("--save-strategy", "steps", "no, steps, epoch, best",
              [&e](const std::string& name) { e.save_strategy = train::parse_strategy(name); });
  p.add("--save-steps", e.save_steps, "below 1 a share of the run");
  p.add("--save-seconds", e.save_seconds, "also save when so many seconds have passed since the last save; 0: off");
  p.add("--save-only-model", e.save_only_model,
        "checkpoints hold the model alone: smaller, and a run cannot go on from them, but for the one of a stop by a signal");
  p.add("--save-total-limit", e.save_total_limit,
        "keep so many checkpoints, never deleting the best or the only valid one; 0: all");
  p.add("--load-best-model-at-end", e.load_best_model_at_end, "the final model is the best checkpoint's");
  p.add("--metric-for-best-model", e.metric_for_best_model, "default: loss");
  p.add("--greater-is-better", e.greater_is_better, "default: false for losses, perplexity and mse, else true");
  p.add("--early-stopping-patience", e.early_stopping_patience, "stop after so many evaluations without improvement; 0: off");
  p.add("--early-stopping-threshold", e.early_stopping_threshold, "what counts as an improvement");
}

void add_answers(Parser& p, train::SpanOptions& o) {
  p.group("Question answering");
  p.add("--n-best-size", o.n_best_size, "candidates for the start, the end and the answer");
  p.add("--max-answer-length", o.max_answer_length, "tokens");
  p.add("--version-2-with-negative", o.version_2_with_negative, "questions may have no answer, as in SQuAD 2.0");
  p.add("--null-score-diff-threshold", o.null_score_diff_threshold,
        "no answer is the answer if its score exceeds the best one's by more than this");
}

void add_logging(Parser& p, TrainCommand& c) {
  p.group("Logging");
  train::LoggingOptions& l = c.options.logging;
  p.add("--logging-steps", l.logging_steps, "below 1 a share of the run");
  p.add("--logging-first-step", l.logging_first_step, "also log the first step");
  p.add_named_list("--report-to", "jsonl, tensorboard, both, or none", [&l](const std::vector<std::string>& names) {
     l.report_to = train::parse_report_to(names);
   })->default_str("jsonl,tensorboard");
  p.add("--logging-dir", l.logging_dir, "of TensorBoard; default: tensorboard/ in the run folder");
  p.add("--disable-tqdm", c.disable_tqdm, "no progress bar, plain lines");
  p.add_named("--on-nan", "stop", "what to do at a step that is not finite: stop (exit code 4) or skip it",
              [&c](const std::string& what) {
                check_usage(what == "stop" || what == "skip", "--on-nan ", what, " is not known; use stop or skip");
                c.options.on_nan = what == "skip" ? train::OnNan::kSkip : train::OnNan::kStop;
              });
}

void add_train(CLI::App& app, TrainCommand& c) {
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
  p.add_named(
      "--zero", "auto",
      "0: each rank has AdamW's moments of all parameters; 1: of its share (ZeRO-1: less memory, more time); auto: 1 where "
      "GPUs' memory wants it",
      [&c](const std::string& name) { c.options.zero = train::parse_zero(name); });
  p.add("--ddp-bucket-cap-mb", c.options.ddp_bucket_cap_mb,
        "size of the gradient buckets that are reduced while backward goes on");
}

void add_sweep(CLI::App& app, SweepCommand& c) {
  Parser p(app);
  p.group(kSweepGroup);
  train::SweepOptions& o = c.sweep;
  app.add_option(
         "--search", o.search,
         "an option of berth train and its values: learning-rate=1e-5,2e-5 (| instead of commas where values have commas), or a "
         "range to draw from: uniform(a,b), loguniform(a,b), randint(a,b); given for each option")
      ->group(kSweepGroup);
  p.add("--num-configurations", o.num_configurations, "draw so many combinations at random; 0: try all of them");
  p.add("--num-seeds", o.num_seeds,
        "runs of each combination (and fold, if the data have folds), with --seed and those after it");
  p.add("--ranks-per-trial", o.ranks_per_trial,
        "ranks that train a run together; groups of so many take one run after the other");
  p.add("--halving-factor", o.halving_factor,
        "successive halving: all combinations train for a part of their steps, the best of so many go on for so many times as "
        "long, and so on; 0: all train to the end");
  p.add("--keep-best", o.keep_best,
        "so many of the best runs keep their models: the ensemble that berth predict --model SWEEP is");
  add_train(app, c.train);
}

void add_evaluate(CLI::App& app, EvaluateCommand& c) {
  Parser p(app);
  p.add("--model,--model-name-or-path", c.model, "a fine-tuned model: a run folder, a checkpoint, or a transformers folder")
      ->required();
  p.add("--data", c.data, "the .h5 file that berth prepare wrote")->required();
  CLI::Option* split = p.add("--split", c.split, "train, validation or test");
  p.add("--fold", c.fold, "in the place of a split: this fold of the training split (berth prepare --folds)")->excludes(split);
  p.add("--output-dir", c.output_dir, "also write eval_results.json there; of questions predictions.json, too");
  p.add("--per-device-eval-batch-size", c.per_device_eval_batch_size, "samples of one micro-batch");
  p.add("--max-eval-samples", c.max_eval_samples, "evaluate only the first so many; -1: all");
  add_precision(p, c.precision);
  add_answers(p, c.predictions.spans);
  add_masks(p, c.masks);
  p.add("--seed", c.masks.seed, "of the masks");
  add_decisions(p, c.predictions);
  add_device(p, c.device);
}

void add_predict(CLI::App& app, PredictCommand& c) {
  Parser p(app);
  app.add_option("--model,--model-name-or-path", c.models,
                 "a fine-tuned model: a run folder, a checkpoint, a transformers folder, or a sweep's folder, which is the "
                 "ensemble of its best; of several models the probabilities are averaged")
      ->group("Options")
      ->required();
  p.add_texts("--text", c.text, "a text; may be given several times");
  p.add_texts("--text-pair", c.text_pair, "the second text of a pair, one for each --text");
  p.add("--input", c.input, "a file, or - for standard input (plain lines unless --format says more)");
  p.add("--output", c.output,
        "JSONL file, or - for standard output; default: standard output, where --text is answered in plain words");
  p.add("--max-length,--max-seq-length", c.max_length,
        "tokens of a sample at most; default: as in training where long texts are windows, of embeddings what the model folder "
        "says, else 128, of questions 384");
  p.add("--per-device-eval-batch-size", c.options.batch_size, "samples of one micro-batch");
  p.add("--top-k", c.options.predictions.top_k, "masked-lm: tokens proposed for each [MASK]");
  add_thresholds(p, c.options.predictions);
  p.add("--logits", c.options.predictions.with_logits, "also the raw outputs");
  add_precision(p, c.options.precision);
  p.group("Embeddings");
  p.add("--embeddings", c.embeddings,
        "instead of predictions the texts' vectors, by any model folder's encoder: JSON Lines, or fp32 [texts, size] where "
        "--output ends in .npy or .h5");
  p.add("--similarity", c.similarity, "the cosine similarity of the two texts of each pair");
  p.add_named("--pooling", "",
              "cls, mean, max: the first token's hidden state, or of all tokens'; default: what a sentence-transformers folder "
              "says, else mean",
              [&c](const std::string& name) { c.embedding.pooling = train::parse_text_pooling(name); });
  p.add_flag("--normalize-embeddings", c.embedding.normalize,
             "vectors of the length 1; default: what a sentence-transformers folder says, else false");
  add_answers(p, c.options.predictions.spans);
  p.add("--n-best", c.options.predictions.with_n_best, "also the n-best list");
  p.add("--doc-stride", c.options.features.doc_stride,
        "tokens that neighbouring windows of a long text share; default: as in training, of questions 128");
  add_reader(p, c.reader);
  add_device(p, c.device);
}

void add_inspect(CLI::App& app, InspectOptions& o) {
  app.add_option_function<std::string>(
         "path", [&o](const std::string& path) { o.path = path; }, "what to look at")
      ->required();
  app.add_flag("--json", o.json, "one JSON object, for programs");
}

void add_report(CLI::App& app, ReportCommand& c) {
  app.add_option_function<std::string>(
         "run", [&c](const std::string& run) { c.run = run; }, "a run folder")
      ->required();
}

std::string task_names() { return joined(data::tasks(), ", ", &data::TaskInfo::name) + "; texts may be single or pairs"; }

void add_prepare(CLI::App& app, PrepareCommand& c) {
  Parser p(app);
  data::PrepareOptions& o = c.options;
  p.add("--task", o.task, task_names());
  p.add("--train-file", o.train_file, "CSV, TSV, JSON Lines, and what the task's data come in (see --format); a pipe, too");
  p.add("--validation-file", o.validation_file, "evaluated while training; or see --validation-split");
  p.add("--validation-split", o.validation_split,
        "this share of the training file becomes the validation split, stratified by label");
  p.add(
      "--folds", o.folds,
      "cut the training split into so many folds for cross-validation (berth train --fold), stratified by label; documents, and "
      "questions about one context, stay whole; 0: none");
  p.add("--test-file", o.test_file, "a split for evaluation or prediction at the end; labels are not needed here");
  p.add("--tokenizer", o.tokenizer, "a model folder or a vocab.txt")->required();
  p.add("--output", o.output, "the .h5 file")->required();
  p.add("--do-lower-case", o.do_lower_case,
        "true or false; default: what the tokenizer_config.json or tokenizer.json beside the vocabulary says, else true");
  p.add("--max-length,--max-seq-length", o.max_length,
        "tokens of a sample at most, special ones included; default: 128, for question answering 384");
  p.add("--doc-stride", o.doc_stride,
        "tokens that neighbouring windows share: of a question's context (default: 128); of a longer text with a label, which "
        "without this option is cut");
  p.add("--seed", o.seed, "of the validation split or folds, of augmentation and of sentence pairs");
  p.add("--line-by-line", o.line_by_line,
        "masked-lm: a sample per text, instead of blocks of --max-length tokens of all texts end to end");
  p.add("--threads,--preprocessing-num-workers", o.threads, "0: one per core; the output does not depend on it");
  p.add("--max-train-samples", o.max_train_samples, "only the first so many rows; -1: all");
  p.add("--max-eval-samples", o.max_eval_samples, "of the validation split; -1: all");
  p.add("--max-predict-samples", o.max_predict_samples, "of the test split; -1: all");
  p.group("Texts");
  p.add_named_list(
      "--normalize",
      "clean the texts, as berth predict then does too: html (tags, character references), urls (web and mail addresses become "
      "the words url and email), whitespace; several are separated by commas",
      [&o](const auto& names) { o.normalize = data::NormalizeOptions::parse(names); });
  p.add_named_list("--augment",
                   "more training samples: copies of each row with words swapped (swap), left out (delete) or replaced by what a "
                   "masked language model expects (substitute); of several, separated by commas, copies take turns",
                   [&o](const auto& names) {
                     for (const std::string& name : names) o.augment.kinds.push_back(data::find_augment(name));
                   });
  p.add("--augment-copies", o.augment.copies, "copies of each training row");
  p.add("--augment-fraction", o.augment.fraction, "share of a text's words to change, at least one");
  p.add("--augment-model", c.augment_model,
        "for substitute: a masked language model's folder, or its name in the local Hugging Face cache");
  add_reader(p, o.reader);
  p.add("--label-column,--label-column-name", o.reader.columns.label, "column of the label; guessed");
  p.add("--label-separator", o.reader.label_separator,
        "multi-label: what stands between the labels in a cell of a CSV or TSV; default: a comma");
  p.add("--label-all-tokens", o.label_all_tokens,
        "token classification: all WordPieces of a word carry its tag (B-X becomes I-X), not only the first");
  p.add_list("--label-names", o.label_names,
             "classes in this order, separated by commas; default: those of the training file, sorted");
}

template <class T, class Declare>
Subcommand subcommand(const std::string& name, const std::string& help, Declare declare) {
  return {name, help, [declare](CLI::App& app, CommandLine& line) { declare(app, line.command.emplace<T>()); }};
}

}  // namespace

const std::vector<Subcommand>& subcommands() {
  static const std::vector<Subcommand> all{
      subcommand<PrepareCommand>("prepare", "raw text (CSV, TSV, JSONL) to a tokenized .h5 data set", add_prepare),
      subcommand<TrainCommand>("train", "fine-tune on all ranks; resumes by itself", add_train),
      subcommand<SweepCommand>("sweep", "train with many combinations of options, seeds and folds", add_sweep),
      subcommand<EvaluateCommand>("evaluate", "metrics of a model on a split", add_evaluate),
      subcommand<PredictCommand>("predict", "labels and scores of new texts, or their embeddings", add_predict),
      subcommand<InspectOptions>("inspect", "what is in this .h5, model folder, checkpoint or run", add_inspect),
      subcommand<ReportCommand>("report", "a run as one self-contained HTML page", add_report),
  };
  return all;
}

}  // namespace berth::launch
