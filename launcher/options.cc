#include "launcher/options.h"

#include <CLI/CLI.hpp>

#include "data/check.h"
#include "launcher/option_parser.h"

namespace berth::launch {
namespace {

void add_evaluate(CLI::App& app, EvaluateCommand& c) {
  Parser p(app);
  p.group("Evaluation");
  p.add("--model,--model-name-or-path", c.model, "a fine-tuned model: a run folder, a checkpoint, or a transformers folder")
      ->required()
      ->type_name("DIR");
  p.add("--data", c.data, "the .h5 file that berth prepare wrote")->required();
  CLI::Option* split = p.add("--split", c.split, "what to evaluate on")->type_name("{train|validation|test}");
  p.add("--fold", c.fold, "in the place of a split: this fold of the training split (berth prepare --folds)")->excludes(split);
  p.add("--output-dir", c.output_dir, "also write eval_results.json there; of questions predictions.json, too")->type_name("DIR");
  p.add("--predictions-file", c.predictions_file,
        "also write there, in JSON Lines, what was predicted of each row, what is right, and how sure it was")
      ->type_name("FILE");
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
  p.group("Prediction");
  app.add_option("--model,--model-name-or-path", c.models,
                 "a fine-tuned model: a run folder, a checkpoint, a transformers folder, or a sweep's folder, which is the "
                 "ensemble of its best; of several models the probabilities are averaged")
      ->group("Prediction")
      ->type_name("DIR")
      ->required();
  p.add_texts("--text", c.text, "a text, or several by several such options");
  p.add_texts("--text-pair", c.text_pair, "the second text of a pair, one for each --text");
  p.add("--input", c.input, "a file, or - for standard input (plain lines unless --format says more)");
  p.add("--output", c.output,
        "JSON Lines, CSV if it ends in .csv, or - for standard output; default: standard output, where --text is answered in "
        "plain words");
  p.add("--max-length,--max-seq-length", c.max_length,
        "tokens of a sample at most; default: as in training, of embeddings what the model folder says, else 128, of questions "
        "384");
  p.add("--per-device-eval-batch-size", c.options.batch_size,
        "samples of one micro-batch; default: up to " + std::to_string(train::kShortTexts) + " short texts, " +
            std::to_string(train::kLongTexts) + " long ones");
  p.add("--top-k", c.options.predictions.top_k, "masked-lm: tokens proposed for each [MASK]");
  add_thresholds(p, c.options.predictions);
  p.add("--logits", c.options.predictions.with_logits, "also the raw outputs");
  add_precision(p, c.options.precision);
  p.group("Embeddings");
  p.add("--embeddings", c.embeddings,
        "instead of predictions the texts' vectors, by any model folder's encoder: JSON Lines, or fp32 [texts, size] where "
        "--output ends in .npy or .h5");
  p.add("--similarity", c.similarity, "the cosine similarity of the two texts of each pair");
  p.add_choice(
      "--pooling", "", {"cls", "mean", "max"},
      "the first token's hidden state (cls), or the mean or maximum of all tokens'; default: what a sentence-transformers "
      "folder says, else mean",
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
         "path", [&o](const std::string& path) { o.path = path; },
         "an .h5 file of berth prepare, a model folder, a checkpoint or a run folder")
      ->required()
      ->type_name("PATH");
  Parser p(app);
  p.group("Output");
  p.add("--json", o.json, "one JSON object, for programs");
}

void add_report(CLI::App& app, ReportCommand& c) {
  app.add_option_function<std::vector<std::string>>(
         "run", [&c](const std::vector<std::string>& runs) { c.runs.assign(runs.begin(), runs.end()); },
         "a run folder, also of a run that is still going, a sweep's, or several runs' to compare")
      ->required()
      ->type_name("DIR");
  Parser p(app);
  p.group("Output");
  p.add("--output", c.output, "where the page goes; default: report.html in the folder, of several runs comparison.html here");
}

std::vector<std::string> task_names() {
  std::vector<std::string> names;
  for (const data::TaskInfo& task : data::tasks()) names.emplace_back(task.name);
  return names;
}

void add_prepare(CLI::App& app, PrepareCommand& c) {
  Parser p(app);
  data::PrepareOptions& o = c.options;
  p.group("Data set");
  p.add_choice("--task", o.task, task_names(), "what is to be learned",
               [&o](const std::string& name) { o.task = data::find_task(name).name; });
  p.add("--train-file", o.train_file, "CSV, TSV, JSON Lines, and what the task's data come in (see --format); a pipe, too");
  p.add("--validation-file", o.validation_file, "evaluated while training; or see --validation-split");
  p.add("--validation-split", o.validation_split,
        "this share of the training file becomes the validation split, stratified by label; 0: none");
  p.add(
      "--folds", o.folds,
      "cut the training split into so many folds for cross-validation (berth train --fold), stratified by label; documents, and "
      "questions about one context, stay whole; 0: none");
  p.add("--test-file", o.test_file, "a split for evaluation or prediction at the end; labels are not needed here");
  p.add("--tokenizer", o.tokenizer, "a model folder, a name in the local Hugging Face cache, or a vocab.txt")
      ->required()
      ->type_name("PATH");
  p.add("--output", o.output, "the .h5 file")->required();
  p.add("--do-lower-case", o.do_lower_case,
        "lower-case the texts, and take accents off; default: what the tokenizer_config.json or tokenizer.json beside the "
        "vocabulary says, else true");
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
  p.add_choices(
      "--normalize", {"html", "urls", "whitespace"},
      "clean the texts, as berth predict then does too: html (tags, character references), urls (web and mail addresses become "
      "the words url and email), whitespace",
      [&o](const auto& names) { o.normalize = data::NormalizeOptions::parse(names); });
  p.add_choices("--augment", {"swap", "delete", "substitute"},
                "more training samples: copies of each row with words swapped (swap), left out (delete) or replaced by what a "
                "masked language model expects (substitute); of several, copies take turns",
                [&o](const auto& names) {
                  for (const std::string& name : names) o.augment.kinds.push_back(data::find_augment(name));
                });
  p.add("--augment-copies", o.augment.copies, "copies of each training row");
  p.add("--augment-fraction", o.augment.fraction, "share of a text's words to change, at least one");
  p.add("--augment-model", c.augment_model,
        "for substitute: a masked language model's folder, or its name in the local Hugging Face cache")
      ->type_name("DIR");
  add_reader(p, o.reader);
  p.add("--label-column,--label-column-name", o.reader.columns.label, "column of the label; default: guessed")
      ->type_name("COLUMN");
  p.add_list("--validation-column-names", o.validation_columns,
             "where the validation file's columns are called otherwise: text=body,label=stars; also text-pair and choices")
      ->type_name("ROLE=COLUMN");
  p.add_list("--test-column-names", o.test_columns, "the same of the test file")->type_name("ROLE=COLUMN");
  p.add("--label-separator", o.reader.label_separator,
        "multi-label: what stands between the labels in a cell of a CSV or TSV; default: a comma");
  p.add("--label-all-tokens", o.label_all_tokens,
        "token classification: all WordPieces of a word carry its tag (B-X becomes I-X), not only the first");
  p.add_list("--label-names", o.label_names,
             "classes in this order, separated by commas; default: those of the training file, sorted");
}

void add_completion(CLI::App& app, CompletionCommand& c) {
  Parser(app)
      .add_choice("shell", "", {"bash", "zsh"}, "the shell that is to complete berth's options",
                  [&c](const std::string& shell) {
                    check_usage(shell == "bash" || shell == "zsh", "completion for ", shell, " is not known; use bash or zsh");
                    c.shell = shell;
                  })
      ->required();
}

void add_generate(CLI::App& app, GenerateCommand& c) {
  app.add_option_function<std::string>(
         "folder", [&c](const std::string& folder) { c.folder = folder; }, "where manual pages and completions go")
      ->required()
      ->type_name("DIR");
}

template <class T, class Declare>
std::function<void(CLI::App&, CommandLine&)> declares(Declare declare) {
  return [declare](CLI::App& app, CommandLine& line) { declare(app, line.command.emplace<T>()); };
}

}  // namespace

const std::vector<Subcommand>& subcommands() {
  static const std::vector<Subcommand> all{
      {.name = "prepare",
       .help = "raw text (CSV, TSV, JSON Lines, …) to a tokenized .h5 data set",
       .declare = declares<PrepareCommand>(add_prepare),
       .usage = "--train-file FILE",
       .essentials = {"--task", "--train-file", "--validation-split", "--validation-file", "--test-file", "--tokenizer",
                      "--output", "--max-length", "--format", "--text-column", "--text-pair-column", "--label-column"},
       .examples =
           {{"reviews with a label each, a fifth of them to validate",
             "berth prepare --train-file reviews.csv --validation-split 0.2 --tokenizer bert-base-uncased/ --output reviews.h5"},
            {"entities from CoNLL files",
             "berth prepare --task ner --train-file train.conll --validation-file dev.conll --tokenizer bert-base-cased/ "
             "--output ner.h5"}}},
      {.name = "train",
       .help = "fine-tune on all ranks; goes on where it was stopped",
       .declare = declares<TrainCommand>(add_train),
       .essentials = {"--model", "--data", "--output-dir", "--per-device-train-batch-size", "--global-batch-size",
                      "--num-train-epochs", "--max-time", "--learning-rate", "--warmup-ratio", "--bf16", "--eval-strategy",
                      "--load-best-model-at-end", "--metric-for-best-model", "--device"},
       .examples =
           {{"on 8 ranks of this machine; in a batch job: srun berth train …",
             "mpirun -np 8 berth train --model bert-base-uncased/ --data reviews.h5 --output-dir run --num-train-epochs 3 "
             "--eval-strategy epoch"},
            {"options from a file, also Trainer's own; those of the command line win",
             "mpirun -np 8 berth train --config options.json --seed 7"}}},
      {.name = "check",
       .help = "what would ruin a run, found in seconds before it begins",
       .declare = declares<CheckCommand>(add_check),
       .essentials = {"--json", "--model", "--data", "--output-dir", "--per-device-train-batch-size", "--num-train-epochs",
                      "--max-time", "--eval-strategy", "--save-total-limit", "--device"},
       .examples =
           {{"the command of a run, with check in the place of train; ends with exit code 3 if it would fail",
             "mpirun -np 8 berth check --model bert-base-uncased/ --data reviews.h5 --output-dir run --num-train-epochs 3 "
             "--eval-strategy epoch"},
            {"for a program", "berth check --config options.json --json"}}},
      {.name = "sweep",
       .help = "train with many combinations of options, seeds and folds",
       .declare = declares<SweepCommand>(add_sweep),
       .essentials = {"--search", "--num-configurations", "--num-seeds", "--ranks-per-trial", "--keep-best", "--model", "--data",
                      "--output-dir", "--num-train-epochs", "--eval-strategy", "--metric-for-best-model"},
       .examples =
           {{"six combinations, five seeds each, eight runs at a time",
             "mpirun -np 8 berth sweep --model bert-base-uncased/ --data reviews.h5 --output-dir sweep --eval-strategy epoch "
             "--metric-for-best-model accuracy --search learning-rate=1e-5,2e-5,5e-5 --search "
             "per-device-train-batch-size=16,32 --num-seeds 5"},
            {"20 draws of a learning rate, all else as a file says",
             "mpirun -np 8 berth sweep --config options.json --search 'learning-rate=loguniform(1e-5,1e-4)' "
             "--num-configurations 20"}}},
      {.name = "evaluate",
       .help = "metrics of a model on a split of a data set",
       .declare = declares<EvaluateCommand>(add_evaluate),
       .essentials = {"--model", "--data", "--split", "--output-dir", "--per-device-eval-batch-size", "--max-eval-samples",
                      "--bf16", "--thresholds", "--device"},
       .examples = {{"on the validation split", "berth evaluate --model run --data reviews.h5"},
                    {"on the test split, by 8 ranks, into run/test_results.json",
                     "mpirun -np 8 berth evaluate --model run --data reviews.h5 --split test --output-dir run"}}},
      {.name = "predict",
       .help = "labels and scores of new texts, or their embeddings",
       .declare = declares<PredictCommand>(add_predict),
       .usage = "(--text TEXT | --input FILE)",
       .essentials = {"--model", "--text", "--text-pair", "--input", "--output", "--per-device-eval-batch-size", "--logits",
                      "--bf16", "--embeddings", "--similarity", "--format", "--text-column", "--device"},
       .examples = {{"one text, in plain words", "berth predict --model run --text \"A wonderful film.\""},
                    {"a file, a JSON object a row", "berth predict --model run --input new.csv --output labels.jsonl"},
                    {"vectors", "berth predict --embeddings --model all-MiniLM-L6-v2/ --input texts.txt --output texts.npy"}}},
      {.name = "inspect",
       .help = "what is in a data set, model folder, checkpoint or run",
       .declare = declares<InspectOptions>(add_inspect),
       .essentials = {"--json"},
       .examples = {{"a data set: splits, lengths, labels", "berth inspect reviews.h5"},
                    {"a run, for a program", "berth inspect run --json"}}},
      {.name = "report",
       .help = "a run, a sweep, or several runs as one self-contained HTML page",
       .declare = declares<ReportCommand>(add_report),
       .essentials = {"--output"},
       .examples = {{"writes run/report.html", "berth report run"},
                    {"two runs beside each other", "berth report run other-run --output comparison.html"}}},
      {.name = "scale",
       .help = "what a step takes here, and on how many ranks it would pay",
       .declare = declares<ScaleCommand>(add_scale),
       .usage = "(--model DIR --data FILE | --from FILE)",
       .essentials = {"--ranks", "--platform", "--ranks-per-node", "--json", "--from", "--model", "--data",
                      "--per-device-train-batch-size", "--bf16"},
       .examples =
           {{"measure on 8 ranks of one node, predict for more",
             "mpirun -np 8 berth scale --model bert-base-uncased/ --data reviews.h5 --per-device-train-batch-size 16 --ranks "
             "8,64,512"},
            {"predict from what was measured elsewhere with --json", "berth scale --from measured.json"}}},
      {.name = "completion",
       .help = "a script with which bash or zsh completes berth's options",
       .declare = declares<CompletionCommand>(add_completion),
       .examples = {{"in this shell", "source <(berth completion bash)"},
                    {"in every zsh that begins, once compinit was called", "echo 'source <(berth completion zsh)' >> ~/.zshrc"}}},
      {.name = "generate",
       .help = "manual pages and completions, for make install",
       .declare = declares<GenerateCommand>(add_generate),
       .hidden = true},
  };
  return all;
}

}  // namespace berth::launch
