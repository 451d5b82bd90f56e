#include "data/store/writer.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "data/check.h"
#include "data/files/files.h"
#include "data/hdf5/hdf5.h"
#include "data/store/column_writer.h"
#include "data/store/question_writer.h"
#include "data/store/schema.h"

namespace berth::data {
namespace {

struct SplitColumns {
  h5::Handle group;
  ColumnWriter<int32_t> input_ids;
  ColumnWriter<int64_t> offsets;
  std::optional<ColumnWriter<int64_t>> sequences;
  ColumnWriter<int32_t> segment_b;
  ColumnWriter<int64_t> rows;
  std::optional<ColumnWriter<uint8_t>> augmented, folds;
  std::optional<ColumnWriter<int32_t>> labels;
  std::optional<ColumnWriter<float>> float_labels;
  std::optional<QuestionWriter> questions;
  int64_t num_tokens = 0, num_sequences = 0, truncated = 0;
  Sha256 content, cut;

  SplitColumns(hid_t file, const std::string& name, LabelShape shape, int32_t vocab_size, int32_t num_labels,
               DatasetWriter::SplitOptions options)
      : group(h5::create_group(file, name.c_str())),
        input_ids(group, schema::kInputIds, vocab_size <= schema::kNarrowVocab ? H5T_STD_U16LE : H5T_STD_I32LE),
        offsets(group, schema::kOffsets, H5T_STD_I64LE),
        segment_b(group, schema::kSegmentB, H5T_STD_I32LE),
        rows(group, schema::kRows, H5T_STD_I64LE) {
    if (options.augmented) augmented.emplace(group, schema::kAugmented, H5T_STD_U8LE);
    if (options.folds) folds.emplace(group, schema::kFold, H5T_STD_U8LE);
    if (options.several_sequences) sequences.emplace(group, schema::kSequences, H5T_STD_I64LE).append(0);
    if (shape == LabelShape::kClass || shape == LabelShape::kTokenClass || shape == LabelShape::kChoice ||
        shape == LabelShape::kNextSentence)
      labels.emplace(group, schema::kLabels, H5T_STD_I32LE);
    if (shape == LabelShape::kSpan) {
      labels.emplace(group, schema::kLabels, H5T_STD_I32LE, 2);
      questions.emplace(group);
    }
    if (shape == LabelShape::kFloat) float_labels.emplace(group, schema::kLabels, H5T_IEEE_F32LE);
    if (shape == LabelShape::kMultiHot)
      float_labels.emplace(group, schema::kLabels, H5T_STD_U8LE, static_cast<uint64_t>(num_labels));
    offsets.append(0);
  }

  static constexpr int64_t kFurther = -1;  // where a sample's first sequence has its number of labels

  // With each length before its values, so that no other samples give the same bytes of content.
  void append_sequence(const std::vector<int32_t>& ids, int32_t first_of_b, int64_t num_labels) {
    const std::array<int64_t, 3> shape{std::ssize(ids), first_of_b, num_labels};
    add_content(std::span<const int64_t>(shape));
    add_content(std::span<const int32_t>(ids));
    input_ids.append(ids);
    num_tokens += std::ssize(ids);
    ++num_sequences;
    offsets.append(num_tokens);
    segment_b.append(first_of_b);
  }

  template <class T>
  void add_content(std::span<const T> values) {
    content.update({reinterpret_cast<const char*>(values.data()), values.size_bytes()});
  }

  void append(const Sample& sample, int fold) {
    append_sequence(sample.input_ids, sample.segment_b, std::ssize(sample.labels));
    add_content(std::span<const int32_t>(sample.labels));
    add_content(std::span<const float>(sample.float_labels));
    check_internal(sample.further.empty() || sequences, "the split holds samples of one sequence only");
    for (const Sequence& sequence : sample.further) append_sequence(sequence.input_ids, sequence.segment_b, kFurther);
    if (sequences) sequences->append(num_sequences);
    rows.append(sample.row);
    truncated += sample.cut > 0;
    if (augmented) augmented->append(static_cast<uint8_t>(sample.augmented));
    if (folds) append_fold(static_cast<uint8_t>(fold));
    if (labels) labels->append(sample.labels);
    if (float_labels) float_labels->append(sample.float_labels);
    if (questions) questions->append(sample);
  }

  void append_fold(uint8_t fold) {
    folds->append(fold);
    cut.update({reinterpret_cast<const char*>(&fold), 1});
  }

  void finish() {
    input_ids.finish();
    offsets.finish();
    if (sequences) sequences->finish();
    segment_b.finish();
    rows.finish();
    if (augmented) augmented->finish();
    if (folds) folds->finish();
    if (labels) labels->finish();
    if (float_labels) float_labels->finish();
    if (questions) questions->finish();
    h5::write_attribute(group, schema::kContentSha256, content.hex());
    h5::write_attribute(group, schema::kTruncated, truncated);
    if (folds) h5::write_attribute(group, schema::kFoldsSha256, cut.hex());
  }
};

}  // namespace

struct DatasetWriter::File {
  std::filesystem::path path;
  DurableFile durable;  // that HDF5 writes, by its temporary name
  TaskKind task;
  int32_t vocab_size, num_labels;
  h5::Handle file;
  std::vector<std::unique_ptr<SplitColumns>> splits;
  bool several_sequences = false;  // of any split
  bool committed = false;

  File(std::filesystem::path name, TaskKind task_kind, int32_t vocabulary, int32_t labels)
      : path(std::move(name)),
        durable(path, ExitCode::kBadInput),
        task(task_kind),
        vocab_size(vocabulary),
        num_labels(labels),
        file(in_context(path.string(), [&] { return h5::create_file(durable.temporary()); })) {}
  ~File();
  void write_attributes(const DatasetInfo& info);
};

DatasetWriter::DatasetWriter(std::filesystem::path path, TaskKind task, int32_t vocab_size, int32_t num_labels)
    : file_(std::make_unique<File>(std::move(path), task, vocab_size, num_labels)) {}

DatasetWriter::~DatasetWriter() = default;

DatasetWriter::File::~File() {
  if (committed) return;
  // Emptied first: on a full disk HDF5 can then flush what it still holds, and closes.
  if (::truncate(durable.temporary().c_str(), 0) != 0) errno = 0;
  splits.clear();
  file.close();
}

int DatasetWriter::add_split(const std::string& name, SplitOptions options) {
  return in_context(file_->path.string(), [&] {
    const LabelShape shape = task_info(file_->task).labels;
    file_->splits.push_back(
        std::make_unique<SplitColumns>(file_->file, name, shape, file_->vocab_size, file_->num_labels, options));
    file_->several_sequences |= options.several_sequences;
    return static_cast<int>(file_->splits.size()) - 1;
  });
}

void DatasetWriter::append(int split, const Sample& sample, int fold) {
  in_context([&] { return file_->path.string(); }, [&] { file_->splits[static_cast<size_t>(split)]->append(sample, fold); });
}

void DatasetWriter::append(int split, const Question& question) {
  in_context([&] { return file_->path.string(); },
             [&] { file_->splits[static_cast<size_t>(split)]->questions.value().append(question); });
}

void DatasetWriter::commit(const DatasetInfo& info) {
  in_context(file_->path.string(), [&] {
    for (const auto& split : file_->splits) split->finish();
    file_->splits.clear();
    file_->write_attributes(info);
    h5::flush(file_->file);
    check(file_->file.close(), "cannot write the file");
  });
  file_->durable.commit();
  file_->committed = true;
  sync_folder(file_->path.parent_path(), ExitCode::kBadInput);
}

void DatasetWriter::File::write_attributes(const DatasetInfo& info) {
  const hid_t root = file;
  h5::write_attribute(root, schema::kFormat, std::string(schema::kFormatName));
  h5::write_attribute(root, schema::kSchemaVersion,
                      int64_t{info.folds > 0      ? schema::kVersion
                              : several_sequences ? schema::kSeveralSequencesVersion
                                                  : schema::kOneSequenceVersion});
  h5::write_attribute(root, schema::kTask, std::string(task_info(task).name));
  if (!info.label_names.empty()) h5::write_attribute(root, schema::kLabelNames, info.label_names);
  h5::write_attribute(root, schema::kMaxLength, int64_t{info.max_length});
  h5::write_attribute(root, schema::kVocabSha256, info.vocab_sha256);
  h5::write_attribute(root, schema::kVocabSize, int64_t{vocab_size});
  std::vector<std::string> files, digests;
  for (const auto& [name, digest] : info.source_sha256) {
    files.push_back(name);
    digests.push_back(digest);
  }
  if (!files.empty()) {
    h5::write_attribute(root, schema::kSourceFiles, files);
    h5::write_attribute(root, schema::kSourceSha256, digests);
  }
  if (info.do_lower_case) h5::write_attribute(root, schema::kDoLowerCase, int64_t{*info.do_lower_case});
  if (info.normalize.any()) h5::write_attribute(root, schema::kNormalize, info.normalize.names());
  if (info.doc_stride) h5::write_attribute(root, schema::kDocStride, int64_t{*info.doc_stride});
  if (info.folds > 0) h5::write_attribute(root, schema::kFolds, int64_t{info.folds});
  h5::write_attribute(root, schema::kCommand, info.command);
}

}  // namespace berth::data
