#include "data/prepare.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>
#include <unordered_set>
#include <utility>

#include "data/check.h"
#include "data/features/assembler.h"
#include "data/features/features.h"
#include "data/features/labels.h"
#include "data/pipeline/ordered.h"
#include "data/pipeline/stratified_split.h"
#include "data/readers/lines.h"
#include "data/sha256.h"
#include "data/store/dataset.h"
#include "data/store/writer.h"

namespace berth::data {
namespace {

constexpr size_t kChunkRecords = 256;
constexpr size_t kChunkBytes = size_t{256} << 10;

// What one thread works on at a time: some records, which split each belongs to, and their samples.
struct Chunk {
  std::vector<Record> records;
  std::vector<size_t> splits;                // [records] index into Job::splits
  std::vector<std::vector<Sample>> samples;  // [records]
  uint64_t bytes_read = 0;
};

// A split while it is written.
struct OpenSplit {
  SplitReport report;
  int64_t max_rows = -1;
  int writer_id = 0;
  std::unordered_set<std::string> ids;   // question answering
  std::shared_ptr<Assembler> assembler;  // of language models
  bool full() const { return max_rows >= 0 && report.rows >= max_rows; }
};

// One pass over one file, which feeds one split, or two when the validation split is cut out of the training file.
struct Job {
  std::filesystem::path file;
  std::vector<OpenSplit> splits;
  std::optional<StratifiedSplit> cut;
};

// What the validation split is cut out by: a record, or in pretraining a document, of which only the first record says true.
class Units {
 public:
  explicit Units(TaskKind task) : documents_(task == TaskKind::kPretraining) {}
  bool starts(const Record& record) {
    const bool before = std::exchange(in_document_, !is_blank(record.text));
    return !documents_ || (in_document_ && !before);
  }

 private:
  bool documents_, in_document_ = false;
};

bool is_language_model(TaskKind task) { return task == TaskKind::kMaskedLm || task == TaskKind::kPretraining; }

bool has_classes(TaskKind task) {
  const LabelShape shape = task_info(task).labels;
  return shape == LabelShape::kClass || shape == LabelShape::kMultiHot || shape == LabelShape::kTokenClass;
}

// Whether texts may change without regard to the labels: these point at words or into the text otherwise.
bool has_plain_texts(TaskKind task) {
  const LabelShape shape = task_info(task).labels;
  return shape != LabelShape::kTokenClass && shape != LabelShape::kSpan;
}

// Whether a label belongs to the text as a whole, so that it holds for a slightly different text too.
bool has_one_label(TaskKind task) { return has_plain_texts(task) && !is_language_model(task); }

const std::vector<std::string>& labels_of(const Record& record) { return record.words.empty() ? record.labels : record.tags; }

// A folder's is that of its files' names and digests.
std::string digest(const std::filesystem::path& source) {
  if (!std::filesystem::is_directory(source)) return sha256_file(source);
  std::string all;
  for (const char* name : {"seq.in", "seq.out", "label"})
    if (std::filesystem::exists(source / name)) all += concat(name, " ", sha256_file(source / name), "\n");
  return sha256_hex(all);
}

BertTokenizer load_tokenizer(const PrepareOptions& options) {
  BertTokenizer tokenizer = BertTokenizer::load(options.tokenizer);
  return options.do_lower_case ? tokenizer.with_lower_case(*options.do_lower_case) : tokenizer;
}

class Preparation {
 public:
  Preparation(const PrepareOptions& options, const std::function<void(const PrepareProgress&)>& progress,
              const std::function<bool()>& stop)
      : options_(options),
        progress_(progress),
        stop_(stop),
        task_(find_task(options.task).kind),
        max_length_(options.max_length.value_or(task_info(task_).max_length)),
        tokenizer_(load_tokenizer(options)) {}

  PrepareReport run() {
    std::vector<Job> jobs = plan();
    features_ = make_features(task_, tokenizer_,
                              {.max_length = max_length_,
                               .label_names = label_names_,
                               .doc_stride = options_.doc_stride,
                               .label_all_tokens = options_.label_all_tokens,
                               .uncut = is_language_model(task_) && !options_.line_by_line});
    DatasetWriter writer(options_.output, task_, tokenizer_.vocab().size(), static_cast<int32_t>(label_names_.size()));
    PrepareReport report;
    DatasetInfo info;
    for (Job& job : jobs) {
      write(job, writer);
      for (OpenSplit& split : job.splits) report.splits.push_back(std::move(split.report));
      info.source_sha256[job.file.string()] = digest(job.file);
    }
    info.task = task_;
    info.label_names = report.label_names = label_names_;
    info.max_length = max_length_;
    info.vocab_sha256 = tokenizer_.vocab().sha256();
    info.vocab_size = tokenizer_.vocab().size();
    info.do_lower_case = tokenizer_.options().do_lower_case;
    info.normalize = options_.normalize;
    info.command = options_.command;
    writer.commit(info);
    report.file_bytes = std::filesystem::file_size(options_.output);
    return report;
  }

 private:
  // Finds the labels and decides which file feeds which split.
  std::vector<Job> plan() {
    std::vector<Job> jobs;
    const auto split = [&](const char* name, const std::filesystem::path& file, int64_t max_rows) {
      OpenSplit open;
      open.report.name = name;
      open.report.file = file.string();
      open.max_rows = max_rows;
      return open;
    };
    LabelCounts counts;
    label_names_ = options_.label_names;
    if (!options_.train_file.empty()) {
      const bool cut = options_.validation_split > 0;
      if (cut || (has_classes(task_) && label_names_.empty())) counts = count_labels();
      Job& job =
          jobs.emplace_back(Job{options_.train_file, {split("train", options_.train_file, options_.max_train_samples)}, {}});
      if (cut) {
        job.splits.push_back(split("validation", options_.train_file, options_.max_eval_samples));
        job.cut.emplace(counts, options_.validation_split, options_.seed);
      }
    }
    if (!options_.validation_file.empty())
      jobs.push_back({options_.validation_file, {split("validation", options_.validation_file, options_.max_eval_samples)}, {}});
    if (!options_.test_file.empty())
      jobs.push_back({options_.test_file, {split("test", options_.test_file, options_.max_predict_samples)}, {}});
    if (has_classes(task_) && label_names_.empty()) choose_labels(counts);
    return jobs;
  }

  void choose_labels(const LabelCounts& counts) {
    label_names_ = sort_labels(counts);
    check(label_names_.size() > 1 || task_info(task_).labels != LabelShape::kClass, options_.train_file.string(),
          ": all rows have the same label '", label_names_.front(), "'; there is nothing to learn from one class");
  }

  // The strata of the validation split: the label where there is just one, else all rows are alike.
  std::string stratum(const Record& record) const {
    return task_info(task_).labels == LabelShape::kClass ? record.labels.at(0) : std::string();
  }

  // A pass over the training file. In counts, the strata; for tasks with several labels a row, label_names_ is found on the way.
  LabelCounts count_labels() {
    const auto reader = open(options_.train_file, true);
    LabelCounts labels, strata;
    Units units(task_);
    for (Record record; reader->next(record);) {
      if (has_classes(task_))
        for (const std::string& label : labels_of(record)) ++labels[label];
      check(labels.size() <= kMaxLabels, options_.train_file.string(), ": there are more than ", kMaxLabels,
            " different labels in the first ", record.row, " rows; is this the right column?");
      if (units.starts(record)) ++strata[stratum(record)];
      if (record.row % static_cast<int64_t>(kChunkRecords) == 0) tell("reading labels", *reader, record.row);
    }
    check(!strata.empty(), options_.train_file.string(), ": the file holds a header and no rows");
    if (has_classes(task_) && label_names_.empty() && task_info(task_).labels != LabelShape::kClass)
      label_names_ = sort_labels(labels);
    return strata;
  }

  std::unique_ptr<RecordReader> open(const std::filesystem::path& file, bool need_label) const {
    ReaderOptions reader = options_.reader;
    reader.kind = task_info(task_).records;
    if (task_info(task_).labels == LabelShape::kMultiHot && reader.label_separator.empty()) reader.label_separator = ",";
    reader.need_label = need_label && !is_language_model(task_);
    if (is_language_model(task_)) reader.columns.guess_pairs = false;
    if (task_ == TaskKind::kPretraining && reader.format == FileFormat::kAuto) reader.format = FileFormat::kLines;
    reader.keep_blank_lines = is_language_model(task_) && !options_.line_by_line;
    return open_reader(file, reader);
  }

  static bool is_test(const Job& job) { return job.splits[0].report.name == "test"; }

  // Published test files carry -1 where the label is kept secret.
  void drop_secret_label(Record& record) const {
    const bool known = std::find(label_names_.begin(), label_names_.end(), "-1") != label_names_.end();
    if (has_classes(task_) && !known && record.labels == std::vector<std::string>{"-1"}) record.labels.clear();
  }

  void tell(const std::string& stage, const RecordReader& reader, int64_t rows) const {
    check_not_stopped();
    if (progress_) progress_({stage, reader.bytes_read(), reader.bytes_total(), rows});
  }

  void check_not_stopped() const {
    if (stop_ && stop_()) fail(ExitCode::kInternal, "stopped on request; no data set was written");
  }

  void write(Job& job, DatasetWriter& writer) {
    const auto reader = open(job.file, !is_test(job));
    std::string stage;
    for (OpenSplit& split : job.splits) {
      split.writer_id = writer.add_split(split.report.name, is_augmented(split));
      split.report.columns = reader->columns();
      split.assembler = make_assembler(task_,
                                       {.max_length = max_length_,
                                        .line_by_line = options_.line_by_line,
                                        .seed = options_.seed,
                                        .split = static_cast<uint32_t>(split.writer_id)},
                                       tokenizer_.vocab());
      split.report.lengths.assign(static_cast<size_t>(max_length_) + 1, 0);
      stage += (stage.empty() ? "" : " and ") + split.report.name;
    }
    int64_t rows = 0;
    Units units(task_);
    bool validation = false;
    run_ordered<Chunk>(
        threads(), [&](Chunk& chunk) { return produce(job, *reader, units, validation, chunk); },
        [&](Chunk& chunk) { transform(job, chunk); },
        [&](Chunk& chunk) {
          consume(job, chunk, writer);
          rows += static_cast<int64_t>(chunk.records.size());
          if (progress_) progress_({stage, chunk.bytes_read, reader->bytes_total(), rows});
        });
    for (OpenSplit& split : job.splits) {
      check(split.report.rows > 0, job.file.string(), ": there are no rows for the ", split.report.name, " split");
      if (split.assembler) finish(job, split, writer);
    }
  }

  // What the assembler still holds back.
  void finish(const Job& job, OpenSplit& split, DatasetWriter& writer) const {
    in_context([&] { return concat(job.file.string(), ": ", split.report.name, " split"); },
               [&] { split.assembler->finish([&](const Sample& sample) { append(split, sample, writer); }); });
    split.report.summary = split.assembler->summary();
  }

  // A model is trained on pairs or on single texts; columns guessed file by file must not mix them.
  void check_pairs(const Job& job, const Record& record) {
    if (!pairs_) pairs_ = record.has_pair;
    check(*pairs_ == record.has_pair, job.file.string(), ": holds ", record.has_pair ? "pairs of texts" : "single texts",
          ", the file before it ", *pairs_ ? "pairs" : "single texts", "; name the columns");
  }

  // `validation`: whether the unit that was begun last belongs to the validation split.
  bool produce(Job& job, RecordReader& reader, Units& units, bool& validation, Chunk& chunk) {
    check_not_stopped();
    chunk.records.clear();
    chunk.splits.clear();
    const auto full = [](const OpenSplit& split) { return split.full(); };
    size_t bytes = 0;
    Record record;
    while (chunk.records.size() < kChunkRecords && bytes < kChunkBytes &&
           !std::all_of(job.splits.begin(), job.splits.end(), full) && reader.next(record)) {
      check_pairs(job, record);
      if (units.starts(record)) validation = job.cut && job.cut->is_validation(stratum(record));
      const size_t split = validation ? 1 : 0;
      if (job.splits[split].full()) continue;
      if (is_test(job)) drop_secret_label(record);
      ++job.splits[split].report.rows;
      bytes += record.text.size() + record.text_pair.size() + record.words.size() * 8;
      chunk.splits.push_back(split);
      chunk.records.push_back(std::move(record));
    }
    chunk.bytes_read = reader.bytes_read();
    return !chunk.records.empty();
  }

  bool is_augmented(const OpenSplit& split) const { return options_.augment.any() && split.report.name == "train"; }

  void transform(const Job& job, Chunk& chunk) const {
    chunk.samples.resize(chunk.records.size());
    for (size_t i = 0; i < chunk.records.size(); ++i) {
      chunk.samples[i].clear();
      Record& record = chunk.records[i];
      normalize(record, options_.normalize);
      make_samples(job, record, chunk.samples[i]);
    }
    if (options_.augment.any()) add_copies(job, chunk);
  }

  void make_samples(const Job& job, const Record& record, std::vector<Sample>& samples) const {
    in_context([&] { return concat(job.file.string(), ": row ", record.row); }, [&] { features_->make(record, samples); });
  }

  void add_copies(const Job& job, Chunk& chunk) const {
    std::vector<const Record*> sources;
    std::vector<size_t> indexes;
    for (size_t i = 0; i < chunk.records.size(); ++i) {
      if (!is_augmented(job.splits[chunk.splits[i]])) continue;
      sources.push_back(&chunk.records[i]);
      indexes.push_back(i);
    }
    for (int copy = 0; copy < options_.augment.copies; ++copy) {
      for (const AugmentedRecord& made : augment(sources, copy, options_.seed, options_.augment)) {
        std::vector<Sample>& samples = chunk.samples[indexes[made.source]];
        std::vector<Sample> copies;
        make_samples(job, made.record, copies);
        for (Sample& sample : copies) {
          sample.augmented = made.kind;
          if (sample.input_ids != samples[0].input_ids) samples.push_back(std::move(sample));
        }
      }
    }
  }

  void consume(Job& job, const Chunk& chunk, DatasetWriter& writer) const {
    for (size_t i = 0; i < chunk.records.size(); ++i) {
      OpenSplit& split = job.splits[chunk.splits[i]];
      const Record& record = chunk.records[i];
      split.report.empty += record.text.empty() && record.words.empty() && task_ != TaskKind::kPretraining;
      if (task_ == TaskKind::kQuestionAnswering)
        take_question(split, record, chunk.samples[i], writer);
      else
        split.report.unlabelled += labels_of(record).empty() && !record.labelled_none && !is_language_model(task_);
      split.report.tag_schemes.add(record.tags, record.row);
      if (has_classes(task_))
        for (const std::string& label : labels_of(record)) ++split.report.label_counts[label];
      if (is_augmented(split)) split.report.not_augmented += options_.augment.copies;
      const auto emit = [&](const Sample& sample) { append(split, sample, writer); };
      for (const Sample& sample : chunk.samples[i]) {
        if (split.assembler)
          split.assembler->add(record, sample, emit);
        else
          emit(sample);
      }
    }
  }

  static void take_question(OpenSplit& split, const Record& record, const std::vector<Sample>& windows, DatasetWriter& writer) {
    Question question{.id = record.id, .context = record.text_pair, .answers = {}};
    for (const Answer& answer : record.answers) question.answers.push_back(answer.text);
    writer.append(split.writer_id, question);
    const bool reached = std::any_of(windows.begin(), windows.end(), [](const Sample& window) { return window.labels[0] > 0; });
    check(split.ids.insert(record.id).second, split.report.file, ": the question ", record.id,
          " stands there twice; predictions are told apart by these ids");
    split.report.empty += !record.text.empty() && record.text_pair.empty();
    split.report.unlabelled += !record.has_answers;
    split.report.unanswerable += record.has_answers && record.answers.empty();
    split.report.misaligned += windows.front().misaligned;
    split.report.unreached += !record.answers.empty() && !reached;
  }

  static void append(OpenSplit& split, const Sample& sample, DatasetWriter& writer) {
    writer.append(split.writer_id, sample);
    if (sample.augmented != AugmentKind::kNone) {
      ++split.report.augmented[augment_name(sample.augmented)];
      --split.report.not_augmented;
    }
    ++split.report.samples;
    split.report.tokens += static_cast<int64_t>(sample.input_ids.size());
    split.report.truncated += sample.truncated;
    ++split.report.lengths.at(sample.input_ids.size());
  }

  int threads() const {
    return options_.threads > 0 ? options_.threads : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  }

  const PrepareOptions& options_;
  const std::function<void(const PrepareProgress&)>& progress_;
  const std::function<bool()>& stop_;
  TaskKind task_;
  int max_length_;
  BertTokenizer tokenizer_;
  std::vector<std::string> label_names_;
  std::unique_ptr<Features> features_;
  std::optional<bool> pairs_;
};

}  // namespace

void PrepareOptions::validate() const {
  const TaskKind kind = find_task(task).kind;
  check_usage(!train_file.empty() || !validation_file.empty() || !test_file.empty(),
              "there is nothing to prepare: name a training, validation or test file");
  check_usage(!tokenizer.empty(), "a tokenizer is needed: a model folder or a vocab.txt");
  check_usage(!output.empty(), "an output file is needed");
  check_usage(validation_split >= 0 && validation_split < 1, "the validation split must be a fraction from 0 to 1, got ",
              validation_split);
  check_usage(validation_split == 0 || validation_file.empty(), "a validation file and a validation split exclude each other");
  check_usage(validation_split == 0 || !train_file.empty(), "a validation split needs a training file");
  check_usage(!normalize.any() || has_plain_texts(kind), "the task ", task_info(kind).name,
              " cannot be prepared with normalisation: its tags or answers belong to the words as they stand in the file");
  augment.validate();
  check_usage(!augment.any() || has_one_label(kind), "the task ", task_info(kind).name,
              " cannot be prepared with augmentation: it is for texts that have their labels as a whole");
  check_usage(!augment.any() || !train_file.empty(), "augmentation is of the training split: name a training file");
  check_usage(!is_language_model(kind) || reader.columns.text_pair.empty(),
              "--text-pair-column is not for language models; several columns are joined by --text-column title,body");
  check_usage(kind == TaskKind::kMaskedLm || !line_by_line, "--line-by-line is for --task masked-lm");
  check_usage(kind != TaskKind::kPretraining || reader.format == FileFormat::kAuto || reader.format == FileFormat::kLines,
              "--task pretraining reads plain text: a sentence a line, documents separated by blank lines");
  check_usage(reader.label_separator.empty() || task_info(kind).labels == LabelShape::kMultiHot,
              "a label separator is for --task multi-label: other tasks have one label a row");
  check_usage(threads >= 0 && threads <= 1024, "the number of threads must be 0 (all cores) to 1024, got ", threads);
  check_usage(!train_file.empty() || !label_names.empty() || !has_classes(kind),
              "without a training file the label names must be given");
  for (const std::filesystem::path& file : {train_file, validation_file, test_file}) {
    std::error_code unlike;
    check_usage(file.empty() || !std::filesystem::equivalent(file, output, unlike), "the output would replace the input file ",
                output.string());
  }
  const std::filesystem::path folder = output.parent_path();
  check(folder.empty() || std::filesystem::is_directory(folder), output.string(), ": the folder does not exist");
}

PrepareReport prepare(const PrepareOptions& options, const std::function<void(const PrepareProgress&)>& progress,
                      const std::function<bool()>& stop) {
  const auto start = std::chrono::steady_clock::now();
  options.validate();
  PrepareReport report = Preparation(options, progress, stop).run();
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace berth::data
