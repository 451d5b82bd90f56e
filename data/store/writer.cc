#include "data/store/writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "data/check.h"
#include "data/store/column_writer.h"
#include "data/store/hdf5.h"
#include "data/store/question_writer.h"
#include "data/store/schema.h"

namespace berth::data {
namespace {

struct SplitColumns {
  h5::Handle group;
  ColumnWriter<int32_t> input_ids;
  ColumnWriter<int64_t> offsets;
  ColumnWriter<int32_t> segment_b;
  ColumnWriter<int64_t> rows;
  std::optional<ColumnWriter<uint8_t>> augmented;
  std::optional<ColumnWriter<int32_t>> labels;
  std::optional<ColumnWriter<float>> float_labels;
  std::optional<QuestionWriter> questions;
  int64_t tokens = 0;

  SplitColumns(hid_t file, const std::string& name, LabelShape shape, int32_t vocab_size, int32_t num_labels, bool with_augmented)
      : group(h5::create_group(file, name.c_str())),
        input_ids(group, schema::kInputIds, vocab_size <= schema::kNarrowVocab ? H5T_STD_U16LE : H5T_STD_I32LE),
        offsets(group, schema::kOffsets, H5T_STD_I64LE),
        segment_b(group, schema::kSegmentB, H5T_STD_I32LE),
        rows(group, schema::kRows, H5T_STD_I64LE) {
    if (with_augmented) augmented.emplace(group, schema::kAugmented, H5T_STD_U8LE);
    if (shape == LabelShape::kClass || shape == LabelShape::kTokenClass || shape == LabelShape::kNextSentence)
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

  void append(const Sample& sample) {
    input_ids.append(sample.input_ids);
    tokens += static_cast<int64_t>(sample.input_ids.size());
    offsets.append(tokens);
    segment_b.append(sample.segment_b);
    rows.append(sample.row);
    if (augmented) augmented->append(static_cast<uint8_t>(sample.augmented));
    if (labels) labels->append(sample.labels);
    if (float_labels) float_labels->append(sample.float_labels);
    if (questions) questions->append(sample);
  }

  void finish() {
    input_ids.finish();
    offsets.finish();
    segment_b.finish();
    rows.finish();
    if (augmented) augmented->finish();
    if (labels) labels->finish();
    if (float_labels) float_labels->finish();
    if (questions) questions->finish();
  }
};

void sync(const std::filesystem::path& path, int flags) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC);
  const bool synced = fd >= 0 && (::fsync(fd) == 0 || errno == EINVAL);  // some file systems cannot sync a folder
  const int error = errno;
  if (fd >= 0) ::close(fd);
  check(synced, "cannot write ", path.string(), " to disk: ", std::strerror(error));
}

}  // namespace

struct DatasetWriter::File {
  std::filesystem::path path, temporary;
  TaskKind task = TaskKind::kSequenceClassification;
  int32_t vocab_size = 0, num_labels = 0;
  h5::Handle file;
  std::vector<std::unique_ptr<SplitColumns>> splits;

  bool committed = false;

  ~File();
  void write_attributes(const DatasetInfo& info);
};

DatasetWriter::DatasetWriter(std::filesystem::path path, TaskKind task, int32_t vocab_size, int32_t num_labels) {
  std::filesystem::path temporary = path;
  temporary += concat(".tmp-", ::getpid());
  file_ = std::make_unique<File>();
  file_->path = std::move(path);
  file_->temporary = std::move(temporary);
  file_->task = task;
  file_->vocab_size = vocab_size;
  file_->num_labels = num_labels;
  in_context(file_->path.string(), [&] { file_->file = h5::create_file(file_->temporary); });
}

DatasetWriter::~DatasetWriter() = default;

DatasetWriter::File::~File() {
  if (committed) return;
  // Emptied first: on a full disk HDF5 can then flush what it still holds, and closes.
  if (::truncate(temporary.c_str(), 0) != 0) errno = 0;
  splits.clear();
  file.close();
  ::unlink(temporary.c_str());
}

int DatasetWriter::add_split(const std::string& name, bool augmented) {
  return in_context(file_->path.string(), [&] {
    const LabelShape shape = task_info(file_->task).labels;
    file_->splits.push_back(
        std::make_unique<SplitColumns>(file_->file, name, shape, file_->vocab_size, file_->num_labels, augmented));
    return static_cast<int>(file_->splits.size()) - 1;
  });
}

void DatasetWriter::append(int split, const Sample& sample) {
  in_context([&] { return file_->path.string(); }, [&] { file_->splits[static_cast<size_t>(split)]->append(sample); });
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
    sync(file_->temporary, O_RDWR);
    std::error_code error;
    std::filesystem::rename(file_->temporary, file_->path, error);
    check(!error, "cannot be renamed from ", file_->temporary.string(), ": ", error.message());
  });
  file_->committed = true;
  const std::filesystem::path folder = file_->path.parent_path();
  sync(folder.empty() ? "." : folder, O_RDONLY | O_DIRECTORY);
}

void DatasetWriter::File::write_attributes(const DatasetInfo& info) {
  const hid_t root = file;
  h5::write_attribute(root, schema::kFormat, std::string(schema::kFormatName));
  h5::write_attribute(root, schema::kSchemaVersion, int64_t{schema::kVersion});
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
  h5::write_attribute(root, schema::kCommand, info.command);
}

}  // namespace berth::data
