#include "data/prepare/plan.h"

#include <utility>

#include "data/check.h"
#include "data/features/labels.h"
#include "data/readers/lines.h"
#include "data/store/dataset.h"

namespace berth::data {
namespace {

constexpr int64_t kTellEvery = 256;  // rows

struct Counts {
  LabelCounts labels;  // of all rows
  LabelCounts strata;  // of the units that the validation split or folds are cut out by
};

// A pass over the training file.
Counts count(const PrepareOptions& options, const Source& train, const TaskInfo& task,
             const std::function<void(const RecordReader&, int64_t)>& tell) {
  const auto reader = open_source(options, train, {}, true);
  Counts counts;
  Units units(task, options.folds > 0);
  const bool all = options.folds == 0 || options.max_train_samples < 0;
  int64_t rows = 0;
  for (Record record; reader->next(record);) {
    if (task.has_label_names)
      for (const std::string& label : labels_of(record))
        if (++counts.labels[label] == 1)
          in_context([&] { return concat(options.train_file.string(), ": row ", record.row); }, [&] { check_label(label); });
    check(counts.labels.size() <= kMaxLabels, options.train_file.string(), ": there are more than ", kMaxLabels,
          " different labels in the first ", record.row, " rows; is this the right column? (--label-column)");
    if (units.starts(record) && (all || rows < options.max_train_samples)) ++counts.strata[stratum_of(task, record)];
    ++rows;
    if (record.row % kTellEvery == 0) tell(*reader, record.row);
  }
  check(!counts.strata.empty(), options.train_file.string(), ": the file holds a header and no rows");
  return counts;
}

std::vector<std::string> choose_labels(const PrepareOptions& options, const TaskInfo& task, const LabelCounts& counts) {
  check(!counts.empty(), options.train_file.string(), ": no row has a label; is this the right column? (--label-column)");
  check(counts.size() > 1 || task.labels != LabelShape::kClass, options.train_file.string(), ": all rows have the same label '",
        counts.begin()->first, "'; there is nothing to learn from one class");
  return sort_labels(counts);
}

OpenSplit open_split(std::string name, const std::filesystem::path& file, int64_t max_rows) {
  OpenSplit split;
  split.report.name = std::move(name);
  split.report.file = file.string();
  split.max_rows = max_rows;
  return split;
}

void check_columns(const char* option, const std::vector<std::string>& columns, const std::filesystem::path& file,
                   const ColumnOptions& usual) {
  check_usage(columns.empty() || !file.empty(), option, ": there is no file of that split, whose columns these would be");
  in_context(option, [&] { columns_called(usual, columns); });
}

}  // namespace

const std::vector<std::string>& labels_of(const Record& record) { return record.words.empty() ? record.labels : record.tags; }

std::string stratum_of(const TaskInfo& task, const Record& record) {
  const bool one_class = task.labels == LabelShape::kClass || task.labels == LabelShape::kNextSentence;
  return one_class && !task.is_language_model ? record.labels.at(0) : std::string();
}

bool Units::starts(const Record& record) {
  if (contexts_) {
    const bool another = context_ != record.text_pair;
    if (another) context_ = record.text_pair;
    return another;
  }
  const bool before = std::exchange(in_document_, !is_blank(record.text));
  return !documents_ || (in_document_ && !before);
}

std::unique_ptr<RecordReader> open_source(const PrepareOptions& options, const Source& file,
                                          const std::vector<std::string>& columns, bool need_label) {
  const TaskInfo& task = find_task(options.task);
  ReaderOptions reader = options.reader;
  reader.columns = columns_called(std::move(reader.columns), columns);
  reader.kind = task.records;
  if (task.labels == LabelShape::kMultiHot && reader.label_separator.empty()) reader.label_separator.assign(1, ',');
  reader.need_label = need_label && !task.is_language_model;
  if (task.is_language_model) reader.columns.guess_pairs = false;
  if (task.has_documents && reader.format == FileFormat::kAuto) reader.format = FileFormat::kLines;
  reader.keep_blank_lines = task.is_language_model && !options.line_by_line;
  return open_reader(file, reader);
}

Plan make_plan(const PrepareOptions& o, const Sources& sources, const std::function<void(const RecordReader&, int64_t)>& tell) {
  const TaskInfo& task = find_task(o.task);
  Plan plan{.jobs = {}, .label_names = o.label_names};
  if (!o.train_file.empty()) {
    Job& job = plan.jobs.emplace_back(Job{sources.train, {open_split("train", o.train_file, o.max_train_samples)}, {}});
    const bool cut = o.validation_split > 0, folds = o.folds > 0, name = task.has_label_names && o.label_names.empty();
    if (cut || folds || name) {
      const Counts counts = count(o, sources.train, task, tell);
      if (name) plan.label_names = choose_labels(o, task, counts.labels);
      if (cut) {
        job.splits.push_back(open_split("validation", o.train_file, o.max_eval_samples));
        job.cut.emplace(counts.strata, o.validation_split, o.seed);
      }
      if (folds) {
        in_context(o.train_file.string(), [&] { job.folds.emplace(counts.strata, o.folds, o.seed); });
        for (const auto& [label, units] : counts.strata)
          if (units < o.folds) plan.rare_labels.push_back(label);
      }
    }
  }
  if (!o.validation_file.empty())
    plan.jobs.push_back({.file = sources.validation,
                         .splits = {open_split("validation", o.validation_file, o.max_eval_samples)},
                         .cut = {},
                         .columns = o.validation_columns});
  if (!o.test_file.empty())
    plan.jobs.push_back({.file = sources.test,
                         .splits = {open_split("test", o.test_file, o.max_predict_samples)},
                         .cut = {},
                         .columns = o.test_columns});
  return plan;
}

void PrepareOptions::validate() const {
  const TaskInfo& info = find_task(task);
  check_usage(!train_file.empty() || !validation_file.empty() || !test_file.empty(),
              "there is nothing to prepare: name a training, validation or test file");
  check_usage(!tokenizer.empty(), "a tokenizer is needed: a model folder or a vocab.txt");
  check_usage(!output.empty(), "an output file is needed");
  check_usage(validation_split >= 0 && validation_split < 1, "--validation-split must lie in [0, 1), got ", validation_split);
  check_usage(validation_split == 0 || validation_file.empty(), "a validation file and a validation split exclude each other");
  check_usage(validation_split == 0 || !train_file.empty(), "a validation split needs a training file");
  check_usage(folds == 0 || (folds >= 2 && folds <= kMostFolds), "--folds must be 2 to ", kMostFolds, ", or 0 for none; got ",
              folds);
  check_usage(folds == 0 || validation_split == 0,
              "--folds and --validation-split exclude each other: each fold is the validation split of one run");
  check_usage(folds == 0 || !train_file.empty(), "--folds cuts the training split: name a training file");
  check_usage(!normalize.any() || !info.labels_point_into_text, "the task ", info.name,
              " cannot be prepared with normalisation: its tags or answers belong to the words as they stand in the file");
  augment.validate();
  check_usage(!augment.any() || !(info.labels_point_into_text || info.is_language_model || info.records == RecordKind::kChoices),
              "the task ", info.name, " cannot be prepared with augmentation: it is for texts that have their labels as a whole");
  check_usage(!augment.any() || !train_file.empty(), "augmentation is of the training split: name a training file");
  check_usage(!info.is_language_model || reader.columns.text_pair.empty(),
              "--text-pair-column is not for language models; several columns are joined by --text-column title,body");
  check_usage((info.is_language_model && !info.has_documents) || !line_by_line, "--line-by-line is for --task masked-lm");
  check_usage(!info.has_documents || reader.format == FileFormat::kAuto || reader.format == FileFormat::kLines,
              "--task pretraining reads plain text: a sentence a line, documents separated by blank lines");
  check_usage(!doc_stride || info.pools_windows || info.records == RecordKind::kQuestions, "--doc-stride is not for the task ",
              info.name, ": it cuts contexts of questions, and texts that have a label as a whole, into windows");
  check_usage(reader.label_separator.empty() || info.labels == LabelShape::kMultiHot,
              "a label separator is for --task multi-label: other tasks have one label a row");
  check_columns("--validation-column-names", validation_columns, validation_file, reader.columns);
  check_columns("--test-column-names", test_columns, test_file, reader.columns);
  check_range("--threads", threads, 0, 1024);
  for (const int64_t samples : {max_train_samples, max_eval_samples, max_predict_samples})
    check_usage(samples >= -1 && samples != 0, "a largest number of samples must be positive, or -1 for all; got ", samples);
  check_usage(label_names.empty() || info.has_label_names, "--label-names is for tasks with classes, not for ", info.name);
  check_usage(!train_file.empty() || !label_names.empty() || !info.has_label_names,
              "without a training file the label names must be given");
  for (const std::filesystem::path& file : {train_file, validation_file, test_file}) {
    std::error_code unlike;
    check_usage(file.empty() || !std::filesystem::equivalent(file, output, unlike), "the output would replace the input file ",
                output.string());
  }
  const std::filesystem::path folder = output.parent_path();
  check(folder.empty() || std::filesystem::is_directory(folder), output.string(), ": the folder does not exist");
}

}  // namespace berth::data
