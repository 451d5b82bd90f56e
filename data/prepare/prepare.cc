#include "data/prepare/prepare.h"

#include <algorithm>
#include <chrono>
#include <list>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "data/check.h"
#include "data/features/assembler.h"
#include "data/features/features.h"
#include "data/files/failpoint.h"
#include "data/files/files.h"
#include "data/files/sha256.h"
#include "data/files/spool.h"
#include "data/prepare/ordered.h"
#include "data/prepare/plan.h"
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
  std::vector<int> folds;                    // [records]
  std::vector<std::vector<Sample>> samples;  // [records]
  uint64_t bytes_read = 0;
};

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

// Whether many tokens have upper-case letters, [CLS] and its like aside.
bool is_cased(const Vocab& vocab) {
  const auto is_upper = [](char c) { return c >= 'A' && c <= 'Z'; };
  const auto upper = std::count_if(vocab.tokens().begin(), vocab.tokens().end(), [&](const std::string& token) {
    return !token.starts_with('[') && std::any_of(token.begin(), token.end(), is_upper);
  });
  return upper > vocab.size() / 100;
}

class Preparation {
 public:
  Preparation(const PrepareOptions& options, const std::function<void(const PrepareProgress&)>& progress,
              const std::function<bool()>& stop)
      : options_(options),
        progress_(progress),
        stop_(stop),
        task_(find_task(options.task)),
        max_length_(options.max_length.value_or(task_.max_length)),
        tokenizer_(load_tokenizer(options)) {}

  PrepareReport run() {
    const Sources sources{source(options_.train_file), source(options_.validation_file), source(options_.test_file)};
    Plan plan =
        make_plan(options_, sources, [&](const RecordReader& reader, int64_t rows) { tell("reading labels", reader, rows); });
    label_names_ = std::move(plan.label_names);
    features_ = make_features(task_.kind, tokenizer_,
                              {.max_length = max_length_,
                               .label_names = label_names_,
                               .doc_stride = options_.doc_stride,
                               .label_all_tokens = options_.label_all_tokens,
                               .uncut = task_.is_language_model && !options_.line_by_line});
    DatasetWriter writer(options_.output, task_.kind, tokenizer_.vocab().size(), static_cast<int32_t>(label_names_.size()));
    PrepareReport report;
    report.rare_labels = std::move(plan.rare_labels);
    report.cased_vocabulary = !options_.do_lower_case && tokenizer_.options().do_lower_case && is_cased(tokenizer_.vocab());
    DatasetInfo info;
    for (Job& job : plan.jobs) {
      write(job, writer);
      for (OpenSplit& split : job.splits) report.splits.push_back(std::move(split.report));
      info.source_sha256[job.file.name.string()] = digest(job.file.path);
    }
    report.can_make_windows = task_.pools_windows && !options_.doc_stride && !pairs_.value_or(false);
    info.task = task_.kind;
    info.label_names = report.label_names = label_names_;
    info.max_length = max_length_;
    info.vocab_sha256 = tokenizer_.vocab().sha256();
    info.vocab_size = tokenizer_.vocab().size();
    info.do_lower_case = tokenizer_.options().do_lower_case;
    info.normalize = options_.normalize;
    if (pools_windows()) info.doc_stride = options_.doc_stride;
    info.folds = options_.folds;
    info.command = options_.command;
    writer.commit(info);
    report.file_bytes = std::filesystem::file_size(options_.output);
    return report;
  }

 private:
  // `file`, or what came out of it: files are read for their labels, for their rows and for their digests.
  Source source(const std::filesystem::path& file) {
    std::error_code none;
    const std::filesystem::file_status there = std::filesystem::status(file, none);
    if (std::filesystem::is_fifo(there)) {
      const auto tell = [&](uint64_t bytes) {
        check_not_stopped();
        if (progress_) progress_({"reading " + file.string(), bytes, 0, 0});
      };
      return {spools_.emplace_back(file, tell).path(), file};
    }
    check(!std::filesystem::exists(there) || std::filesystem::is_regular_file(there) || std::filesystem::is_directory(there),
          file.string(), ": is neither a file nor a pipe");
    return file;
  }

  static bool is_test(const Job& job) { return job.splits[0].report.name == "test"; }

  // Published test files carry -1 where the label is kept secret.
  void drop_secret_label(Record& record) const {
    const bool known = std::find(label_names_.begin(), label_names_.end(), "-1") != label_names_.end();
    if (task_.labels != LabelShape::kFloat && !known && record.labels == std::vector<std::string>{"-1"}) record.labels.clear();
  }

  void tell(const std::string& stage, const RecordReader& reader, int64_t rows) const {
    check_not_stopped();
    if (progress_) progress_({stage, reader.bytes_read(), reader.bytes_total(), rows});
  }

  void check_not_stopped() const {
    failpoint("prepare");
    if (stop_ && stop_()) fail(ExitCode::kInternal, "stopped on request; no data set was written");
  }

  void write(Job& job, DatasetWriter& writer) {
    const auto reader = open_source(options_, job.file, job.columns, !is_test(job));
    std::string stage;
    for (OpenSplit& split : job.splits) {
      split.writer_id =
          writer.add_split(split.report.name, {.augmented = is_augmented(split),
                                               .several_sequences = pools_windows() || task_.labels == LabelShape::kChoice,
                                               .folds = job.folds.has_value()});
      split.report.columns = reader->columns();
      if (job.folds) split.report.folds.assign(static_cast<size_t>(options_.folds), 0);
      if (task_.is_language_model) make_assemblers(split);
      split.report.lengths.assign(static_cast<size_t>(max_length_) + 1, 0);
      stage += (stage.empty() ? "" : " and ") + split.report.name;
    }
    int64_t rows = 0;
    Units units(task_, job.folds.has_value());
    Unit unit;
    run_ordered<Chunk>(
        threads(), [&](Chunk& chunk) { return produce(job, *reader, units, unit, chunk); },
        [&](Chunk& chunk) { transform(job, chunk); },
        [&](Chunk& chunk) {
          consume(job, chunk, writer);
          rows += static_cast<int64_t>(chunk.records.size());
          if (progress_) progress_({stage, chunk.bytes_read, reader->bytes_total(), rows});
        });
    for (OpenSplit& split : job.splits) {
      check(split.report.rows > 0, job.file.name.string(), ": there are no rows for the ", split.report.name, " split");
      for (int fold = 0; fold < std::ssize(split.assemblers); ++fold) finish(job, split, fold, writer);
      for (size_t fold = 0; fold < split.report.folds.size(); ++fold)
        check(split.report.folds[fold] > 0, job.file.name.string(), ": --folds: fold ", fold, " has no samples");
    }
  }

  // One for each fold: its samples are made of its texts alone.
  void make_assemblers(OpenSplit& split) const {
    for (size_t fold = 0; fold < std::max<size_t>(1, split.report.folds.size()); ++fold)
      split.assemblers.push_back(
          make_assembler(task_.kind,
                         {.max_length = max_length_,
                          .line_by_line = options_.line_by_line,
                          .seed = options_.seed,
                          .split = static_cast<uint32_t>(split.writer_id) | static_cast<uint32_t>(fold) << 8},
                         tokenizer_.vocab()));
  }

  // What the assembler still holds back.
  void finish(const Job& job, OpenSplit& split, int fold, DatasetWriter& writer) const {
    Assembler& assembler = *split.assemblers[static_cast<size_t>(fold)];
    const std::string which = split.report.folds.empty() ? "" : concat(", fold ", fold);
    in_context([&] { return concat(job.file.name.string(), ": ", split.report.name, " split", which); },
               [&] { assembler.finish([&](const Sample& sample) { append(split, sample, fold, writer); }); });
    split.report.summary += (fold == 0 ? "" : "\n  ") + assembler.summary() + (which.empty() ? "" : concat(" (fold ", fold, ")"));
  }

  // A model is trained on pairs or on single texts; columns guessed file by file must not mix them.
  void check_pairs(const Job& job, const Record& record) {
    if (!pairs_) pairs_ = record.has_pair;
    check(*pairs_ == record.has_pair, job.file.name.string(), ": holds ", record.has_pair ? "pairs of texts" : "single texts",
          ", the file before it ", *pairs_ ? "pairs" : "single texts", "; name the columns");
  }

  // Where a unit belongs.
  struct Unit {
    size_t split = 0;  // index into Job::splits
    int fold = 0;
  };
  static Unit place(Job& job, const std::string& stratum) {
    return {.split = job.cut && job.cut->is_validation(stratum) ? size_t{1} : 0,
            .fold = job.folds ? job.folds->fold_of(stratum) : 0};
  }

  // `unit`: the one that was begun last.
  bool produce(Job& job, RecordReader& reader, Units& units, Unit& unit, Chunk& chunk) {
    check_not_stopped();
    chunk.records.clear();
    chunk.splits.clear();
    chunk.folds.clear();
    const auto full = [](const OpenSplit& split) { return split.full(); };
    size_t bytes = 0;
    Record record;
    while (chunk.records.size() < kChunkRecords && bytes < kChunkBytes &&
           !std::all_of(job.splits.begin(), job.splits.end(), full) && reader.next(record)) {
      check_pairs(job, record);
      if ((job.cut || job.folds) && units.starts(record)) unit = place(job, stratum_of(task_, record));
      if (job.splits[unit.split].full()) continue;
      if (is_test(job)) drop_secret_label(record);
      ++job.splits[unit.split].report.rows;
      bytes += record.text.size() + record.text_pair.size() + record.words.size() * 8;
      for (const std::string& choice : record.choices) bytes += record.text.size() + choice.size();
      chunk.splits.push_back(unit.split);
      chunk.folds.push_back(unit.fold);
      chunk.records.push_back(std::move(record));
    }
    chunk.bytes_read = reader.bytes_read();
    return !chunk.records.empty();
  }

  bool pools_windows() const { return task_.pools_windows && options_.doc_stride; }

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
    in_context([&] { return concat(job.file.name.string(), ": row ", record.row); }, [&] { features_->make(record, samples); });
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
          const bool changed = sample.input_ids != samples[0].input_ids || sample.further != samples[0].further;
          if (changed) samples.push_back(std::move(sample));
        }
      }
    }
  }

  void consume(Job& job, const Chunk& chunk, DatasetWriter& writer) const {
    for (size_t i = 0; i < chunk.records.size(); ++i) {
      OpenSplit& split = job.splits[chunk.splits[i]];
      const Record& record = chunk.records[i];
      split.report.empty += record.text.empty() && record.words.empty() && !task_.has_documents;
      if (task_.records == RecordKind::kQuestions)
        take_question(split, record, chunk.samples[i], writer);
      else
        split.report.unlabelled += labels_of(record).empty() && !record.labelled_none && !task_.is_language_model;
      split.report.tag_schemes.add(record.tags, record.row);
      if (task_.has_label_names)
        for (const std::string& label : labels_of(record)) ++split.report.label_counts[label];
      if (is_augmented(split)) split.report.not_augmented += options_.augment.copies;
      const int fold = chunk.folds[i];
      const auto emit = [&](const Sample& sample) { append(split, sample, fold, writer); };
      for (const Sample& sample : chunk.samples[i]) {
        if (split.assemblers.empty())
          emit(sample);
        else
          split.assemblers[static_cast<size_t>(fold)]->add(record, sample, emit);
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

  void append(OpenSplit& split, const Sample& sample, int fold, DatasetWriter& writer) const {
    writer.append(split.writer_id, sample, fold);
    if (sample.augmented != AugmentKind::kNone) {
      ++split.report.augmented[augment_name(sample.augmented)];
      --split.report.not_augmented;
    } else if (!split.report.folds.empty()) {
      ++split.report.folds[static_cast<size_t>(fold)];
    }
    ++split.report.samples;
    if (sample.cut > 0) ++split.report.cut_lengths[max_length_ + sample.cut];
    split.report.windowed += pools_windows() && !sample.further.empty();
    split.report.most_windows = std::max(split.report.most_windows, std::ssize(sample.further) + 1);
    count_sequence(split, sample.input_ids);
    for (const Sequence& sequence : sample.further) count_sequence(split, sequence.input_ids);
  }

  static void count_sequence(OpenSplit& split, const std::vector<int32_t>& input_ids) {
    ++split.report.sequences;
    split.report.tokens += std::ssize(input_ids);
    ++split.report.lengths.at(input_ids.size());
  }

  int threads() const {
    return options_.threads > 0 ? options_.threads : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  }

  const PrepareOptions& options_;
  const std::function<void(const PrepareProgress&)>& progress_;
  const std::function<bool()>& stop_;
  const TaskInfo& task_;
  int max_length_;
  BertTokenizer tokenizer_;
  std::vector<std::string> label_names_;
  std::unique_ptr<Features> features_;
  std::optional<bool> pairs_;
  std::list<Spool> spools_;
};

}  // namespace

PrepareReport prepare(const PrepareOptions& options, const std::function<void(const PrepareProgress&)>& progress,
                      const std::function<bool()>& stop) {
  const auto start = std::chrono::steady_clock::now();
  options.validate();
  PrepareReport report = Preparation(options, progress, stop).run();
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace berth::data
