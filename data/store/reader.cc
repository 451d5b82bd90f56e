// The reading half of the store: Dataset and Split over HDF5. Everything in the file is distrusted.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>

#include "data/check.h"
#include "data/files/files.h"
#include "data/hdf5/hdf5.h"
#include "data/samples/collate.h"
#include "data/samples/sample.h"
#include "data/store/column_reader.h"
#include "data/store/dataset.h"
#include "data/store/info_reader.h"
#include "data/store/question_reader.h"
#include "data/store/schema.h"
#include "data/words.h"

namespace berth::data {
namespace {

// Splits up to this size in memory are read once, whole and in order; larger ones sample by sample. Random reads of small pieces
// are what parallel file systems do worst, and nearly every fine-tuning set fits.
constexpr uint64_t kCacheBytes = uint64_t{256} << 20;

struct OpenFile {
  std::filesystem::path path;
  uint64_t size = 0;
  h5::Handle file;
  DatasetInfo info;
};

class Hdf5Split final : public Split {
 public:
  Hdf5Split(std::shared_ptr<const OpenFile> file, std::string name)
      : file_(std::move(file)), name_(std::move(name)), shape_(task_info(file_->info.task).labels) {
    group_ = h5::open_group(file_->file, name_.c_str());
    input_ids_.emplace(group_, schema::kInputIds, file_->size);
    segment_b_.emplace(group_, schema::kSegmentB, file_->size);
    rows_.emplace(group_, schema::kRows, file_->size);
    if (h5::has_link(group_, schema::kAugmented)) augmented_.emplace(group_, schema::kAugmented, file_->size);
    read_offsets();
    read_sequences();
    const auto has_rows = [](const auto& column, size_t rows, const char* what) {
      check(column.rows() == rows && column.width() == 0, "'", what, "' does not have ", rows, " rows, which '", schema::kOffsets,
            "' and '", schema::kSequences, "' ask for");
    };
    has_rows(*segment_b_, offsets_.size() - 1, schema::kSegmentB);
    has_rows(*rows_, lengths_.size(), schema::kRows);
    if (augmented_) has_rows(*augmented_, lengths_.size(), schema::kAugmented);
    open_labels();
    if (shape_ == LabelShape::kSpan) questions_.emplace(group_, file_->size, size(), static_cast<int64_t>(input_ids_->rows()));
    read_folds();
    keep_in_memory();
  }

  const std::filesystem::path& path() const override { return file_->path; }
  const std::string& name() const override { return name_; }
  int64_t size() const override { return static_cast<int64_t>(lengths_.size()); }
  std::span<const int32_t> lengths() const override { return lengths_; }
  int64_t sequences_of(int64_t sample) const override {
    check_sample(sample);
    const auto i = static_cast<size_t>(sample);
    return sequences_[i + 1] - sequences_[i];
  }
  int fold_of(int64_t sample) const override {
    check_internal(!folds_.empty(), "the ", name_, " split has no folds");
    check_sample(sample);
    return folds_[static_cast<size_t>(sample)];
  }

  void read(std::span<const int64_t> samples, Batch& batch) const override {
    begin_batch(batch);
    for (int64_t sample : samples) {
      check_sample(sample);
      in_context([&] { return concat(file_->path.string(), ": ", name_, ": sample ", sample); },
                 [&] { append_sample(sample, batch); });
    }
  }

  void read_labels(int64_t begin, int64_t end, Batch& batch) const override {
    check_internal(begin >= 0 && begin <= end && end <= size() && shape_ != LabelShape::kSpan && shape_ != LabelShape::kChoice,
                   "labels of samples ", begin, " to ", end, " of ", size(), " were asked for");
    begin_batch(batch);
    const bool of_tokens = shape_ == LabelShape::kTokenClass;
    const auto row = [&](int64_t sample) { return static_cast<uint64_t>(of_tokens ? first_token(sample) : sample); };
    const uint64_t first = row(begin), last = row(end);
    in_context([&] { return concat(file_->path.string(), ": ", name_, ": samples ", begin, " to ", end - 1); },
               [&] {
                 if (labels_) append_labels(labels_->read(first, last - first), label_values(begin), batch);
                 if (float_labels_) append_float_labels(float_labels_->read(first, last - first), batch);
               });
  }

  std::vector<int64_t> rows(std::span<const int64_t> samples) const override {
    std::vector<int64_t> rows;
    for (int64_t sample : samples) {
      check_sample(sample);
      rows.push_back(rows_->read(static_cast<uint64_t>(sample), 1)[0]);
    }
    return rows;
  }

  std::vector<AugmentKind> augmented(std::span<const int64_t> samples) const override {
    std::vector<AugmentKind> kinds;
    for (int64_t sample : samples) {
      check_sample(sample);
      const uint8_t kind = augmented_ ? augmented_->read(static_cast<uint64_t>(sample), 1)[0] : 0;
      check(kind <= kLastAugmentKind, file_->path.string(), ": ", name_, ": sample ", sample, ": '", schema::kAugmented, "' is ",
            static_cast<int>(kind), ", expected 0 to ", static_cast<int>(kLastAugmentKind));
      kinds.push_back(static_cast<AugmentKind>(kind));
    }
    return kinds;
  }

  int64_t num_questions() const override { return questions_ ? questions_->num_questions() : 0; }
  int64_t question_of(int64_t sample) const override {
    check_sample(sample);
    return questions_.value().question_of(sample);
  }
  Question question(int64_t index) const override {
    check_internal(index >= 0 && index < num_questions(), "question ", index, " of ", num_questions(), " was asked for");
    return in_context([&] { return concat(file_->path.string(), ": ", name_, ": question ", index); },
                      [&] { return questions_->question(index); });
  }
  std::vector<std::array<int32_t, 2>> token_offsets(int64_t sample) const override {
    check_sample(sample);
    return in_context(
        [&] { return concat(file_->path.string(), ": ", name_, ": sample ", sample); },
        [&] { return questions_.value().token_offsets(first_token(sample), lengths_[static_cast<size_t>(sample)]); });
  }

 private:
  void check_sample(int64_t sample) const {
    check_internal(sample >= 0 && sample < size(), "sample ", sample, " of ", size(), " was asked for");
  }

  void read_offsets() {
    const ColumnReader<int64_t> column(group_, schema::kOffsets, file_->size);
    check(column.width() == 0 && column.rows() > 0, "'", schema::kOffsets, "' is not a list of at least one number");
    offsets_ = column.read(0, column.rows());
    check(offsets_[0] == 0, "'", schema::kOffsets, "' does not start with 0");
    for (size_t i = 0; i + 1 < offsets_.size(); ++i) {
      const int64_t length = offsets_[i + 1] > offsets_[i] ? offsets_[i + 1] - offsets_[i] : 0;
      check(length > 0 && length <= file_->info.max_length, "sequence ", i, " has ", length, " tokens instead of 1 to ",
            file_->info.max_length);
    }
    check(input_ids_->width() == 0, "'", schema::kInputIds, "' is not a list of numbers");
    check(static_cast<uint64_t>(offsets_.back()) == input_ids_->rows(), "'", schema::kInputIds, "' has ", input_ids_->rows(),
          " tokens, '", schema::kOffsets, "' ends at ", offsets_.back());
  }

  // Which sequences each sample has; where the file does not say, one each.
  void read_sequences() {
    const auto sequences = std::ssize(offsets_) - 1;
    if (h5::has_link(group_, schema::kSequences)) {
      check(may_have_several_sequences(), "'", schema::kSequences, "' is not for the task ", task_info(file_->info.task).name);
      const ColumnReader<int64_t> column(group_, schema::kSequences, file_->size);
      check(column.width() == 0 && column.rows() > 0, "'", schema::kSequences, "' is not a list of at least one number");
      sequences_ = column.read(0, column.rows());
      check(sequences_.front() == 0 && sequences_.back() == sequences, "'", schema::kSequences, "' does not go from 0 to the ",
            sequences, " sequences of '", schema::kOffsets, "'");
    } else {
      sequences_.resize(offsets_.size());
      std::iota(sequences_.begin(), sequences_.end(), 0);
    }
    lengths_.resize(sequences_.size() - 1);
    for (size_t i = 0; i < lengths_.size(); ++i) {
      const int64_t begin = sequences_[i], end = sequences_[i + 1];
      check(begin < end && end <= sequences, "sample ", i, " has the sequences from ", begin, " to ", end, " of ", sequences);
      const int64_t length = offsets_[static_cast<size_t>(end)] - offsets_[static_cast<size_t>(begin)];
      check(length <= INT32_MAX, "sample ", i, " has ", length, " tokens");
      lengths_[i] = static_cast<int32_t>(length);
    }
  }
  bool may_have_several_sequences() const { return shape_ == LabelShape::kChoice || task_info(file_->info.task).pools_windows; }

  void read_folds() {
    const bool expected = file_->info.folds > 0 && name_ == "train";
    check(h5::has_link(group_, schema::kFold) == expected, "'", schema::kFold, "' is ",
          expected ? "missing" : "not expected here");
    if (!expected) return;
    const ColumnReader<uint8_t> column(group_, schema::kFold, file_->size);
    check(column.width() == 0 && column.rows() == lengths_.size(), "'", schema::kFold, "' does not have a row for each of the ",
          size(), " samples");
    folds_ = column.read(0, column.rows());
    for (size_t i = 0; i < folds_.size(); ++i) {
      check(folds_[i] < file_->info.folds, "sample ", i, " is in the fold ", int{folds_[i]}, " of 0 to ", file_->info.folds - 1);
      const auto sample = static_cast<int64_t>(i);
      const bool same_question = questions_ && i > 0 && questions_->question_of(sample) == questions_->question_of(sample - 1);
      check(!same_question || folds_[i] == folds_[i - 1], "sample ", i, " is in another fold than its question");
    }
  }

  void open_labels() {
    if (shape_ == LabelShape::kNone) return;
    const auto num_labels = file_->info.label_names.size();
    const uint64_t width = shape_ == LabelShape::kMultiHot ? num_labels : shape_ == LabelShape::kSpan ? 2 : 0;
    const uint64_t expected = shape_ == LabelShape::kTokenClass ? input_ids_->rows() : lengths_.size();
    const auto fits = [&](const auto& column) {
      check(column.rows() == expected && column.width() == width, "'", schema::kLabels, "' has the shape [", column.rows(), ", ",
            column.width(), "] instead of [", expected, ", ", width, "]");
    };
    if (shape_ == LabelShape::kFloat || shape_ == LabelShape::kMultiHot)
      fits(float_labels_.emplace(group_, schema::kLabels, file_->size));
    else
      fits(labels_.emplace(group_, schema::kLabels, file_->size));
  }

  void keep_in_memory() {
    const uint64_t bytes = input_ids_->bytes() + segment_b_->bytes() + rows_->bytes() + (labels_ ? labels_->bytes() : 0) +
                           (float_labels_ ? float_labels_->bytes() : 0) + (augmented_ ? augmented_->bytes() : 0);
    if (bytes > kCacheBytes) return;
    input_ids_->keep_in_memory();
    segment_b_->keep_in_memory();
    rows_->keep_in_memory();
    if (augmented_) augmented_->keep_in_memory();
    if (labels_) labels_->keep_in_memory();
    if (float_labels_) float_labels_->keep_in_memory();
  }

  void append_sample(int64_t sample, Batch& batch) const {
    const auto i = static_cast<uint64_t>(sample);
    data::append_sample(batch, sample);
    for (int64_t sequence = sequences_[i]; sequence < sequences_[i + 1]; ++sequence) append_sequence(sequence, batch);
    if (labels_)
      append_labels(shape_ == LabelShape::kTokenClass
                        ? labels_->read(static_cast<uint64_t>(first_token(sample)), static_cast<uint64_t>(lengths_[i]))
                        : labels_->read(i, 1),
                    label_values(sample), batch);
    if (float_labels_) append_float_labels(float_labels_->read(i, 1), batch);
  }
  int64_t first_token(int64_t sample) const { return offsets_[static_cast<size_t>(sequences_[static_cast<size_t>(sample)])]; }

  void append_sequence(int64_t sequence, Batch& batch) const {
    const auto s = static_cast<uint64_t>(sequence);
    const int64_t length = offsets_[s + 1] - offsets_[s];
    const std::vector<int32_t> ids = input_ids_->read(static_cast<uint64_t>(offsets_[s]), static_cast<uint64_t>(length));
    for (int32_t id : ids)
      check(id >= 0 && id < file_->info.vocab_size, "token id ", id, " is not in the vocabulary of ", file_->info.vocab_size);
    const int32_t segment_b = segment_b_->read(s, 1)[0];
    check(segment_b >= 0 && segment_b <= length, "segment B starts at token ", segment_b, " of ", length);
    data::append_sequence(batch, sequence, ids, segment_b);
  }

  // How many values a label may have.
  int64_t label_values(int64_t sample) const {
    const auto i = static_cast<size_t>(sample);
    switch (shape_) {
      case LabelShape::kSpan:
        return lengths_[i];
      case LabelShape::kChoice:
        return sequences_of(sample);
      case LabelShape::kNextSentence:
        return 2;
      default:
        return std::ssize(file_->info.label_names);
    }
  }

  void append_labels(const std::vector<int32_t>& labels, int64_t values, Batch& batch) const {
    for (int32_t label : labels)
      check(label == kIgnoreIndex || (label >= 0 && label < values), "label ", label, " is out of range");
    const bool half = shape_ == LabelShape::kSpan && (labels[0] == kIgnoreIndex) != (labels[1] == kIgnoreIndex);
    check(!half, "the answer's tokens are ", joined(labels, " to "), ", one of which is none");
    batch.labels.insert(batch.labels.end(), labels.begin(), labels.end());
  }

  void append_float_labels(const std::vector<float>& labels, Batch& batch) const {
    for (float label : labels) {
      const bool known = shape_ == LabelShape::kFloat ? !std::isinf(label) : label == 0 || label == 1 || label == kNoMultiHot;
      check(known, "label ", label, " is out of range");
    }
    batch.float_labels.insert(batch.float_labels.end(), labels.begin(), labels.end());
  }

  std::shared_ptr<const OpenFile> file_;
  std::string name_;
  LabelShape shape_;
  h5::Handle group_;
  std::optional<ColumnReader<int32_t>> input_ids_, segment_b_, labels_;
  std::optional<ColumnReader<int64_t>> rows_;
  std::optional<ColumnReader<uint8_t>> augmented_;
  std::optional<ColumnReader<float>> float_labels_;
  std::optional<QuestionReader> questions_;
  std::vector<int64_t> offsets_;    // [S + 1] of sequences into tokens
  std::vector<int64_t> sequences_;  // [N + 1] of samples into sequences
  std::vector<int32_t> lengths_;    // [N]
  std::vector<uint8_t> folds_;      // [N], or empty
};

// The format of HDF5 1.10, which the writer chooses, has checksums over its metadata; in that of 1.6 HDF5 would believe what it reads.
void check_format(const std::filesystem::path& path) {
  constexpr std::string_view kSignature = "\x89HDF\r\n\x1a\n";
  std::array<char, kSignature.size() + 1> head{};
  std::ifstream in(path, std::ios::binary);
  check(in.is_open(), "cannot be read: ", std::strerror(errno));
  in.read(head.data(), head.size());
  check(std::string_view(head.data(), kSignature.size()) == kSignature,
        "the file is damaged or truncated, or no data set at all: it does not begin as HDF5 (berth prepare makes one of raw "
        "texts)");
  check(head.back() >= 2, "this HDF5 file was not made by `berth prepare`: its format, of HDF5 1.6, has no checksums");
}

class Hdf5Dataset final : public Dataset {
 public:
  explicit Hdf5Dataset(std::shared_ptr<const OpenFile> file) : file_(std::move(file)) {}

  const DatasetInfo& info() const override { return file_->info; }
  const std::filesystem::path& path() const override { return file_->path; }
  bool has_split(const std::string& name) const override {
    return std::find(info().splits.begin(), info().splits.end(), name) != info().splits.end();
  }

  std::unique_ptr<Split> split(const std::string& name) const override {
    check(has_split(name), path().string(), " has no split '", name,
          "'; it has: ", info().splits.empty() ? "none" : joined(info().splits));
    return in_context(concat(path().string(), ": ", name),
                      [&] { return retried(kReadWaits, [&] { return std::make_unique<Hdf5Split>(file_, name); }); });
  }

 private:
  std::shared_ptr<const OpenFile> file_;
};

}  // namespace

std::unique_ptr<Dataset> Dataset::open(const std::filesystem::path& path) {
  return in_context(path.string(), [&] {
    std::error_code error;
    check(std::filesystem::exists(path, error) || error, "no such file; `berth prepare` makes it");
    check(!error, "cannot be read: ", error.message());
    check(std::filesystem::is_regular_file(path, error), "not a file");
    auto file = std::make_shared<OpenFile>();
    file->path = path;
    file->size = std::filesystem::file_size(path, error);
    check(!error, "cannot be read: ", error.message());
    check_format(path);
    retried(kReadWaits, [&] {
      file->file.close();  // else HDF5 would go on with what it has open
      file->file = h5::open_file(path);
      file->info = read_info(file->file);
    });
    return std::make_unique<Hdf5Dataset>(std::move(file));
  });
}

}  // namespace berth::data
