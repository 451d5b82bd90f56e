#include "data/store/info_reader.h"

#include <algorithm>
#include <set>

#include "data/check.h"
#include "data/store/schema.h"

namespace berth::data {
namespace {

// Texts that were changed in a way unknown here could not be changed alike when the model is used.
NormalizeOptions read_normalize(hid_t file) {
  const std::string names = h5::read_string(file, schema::kNormalize);
  try {
    return NormalizeOptions::parse(names);
  } catch (const Error&) {
    fail(ExitCode::kBadInput, "its texts were normalised by '", names, "', which this berth does not know");
  }
}

int read_doc_stride(hid_t file, const DatasetInfo& info) {
  const int64_t stride = h5::read_int(file, schema::kDocStride);
  check(task_info(info.task).pools_windows && stride >= 0 && stride < info.max_length, "'", schema::kDocStride, "' is ", stride,
        ", in a file for ", task_info(info.task).name, " with sequences of up to ", info.max_length, " tokens");
  return static_cast<int>(stride);
}

int read_folds(hid_t file) {
  const int64_t folds = h5::read_int(file, schema::kFolds);
  check(folds >= 2 && folds <= kMostFolds, "'", schema::kFolds, "' is ", folds, ", expected 2 to ", kMostFolds);
  return static_cast<int>(folds);
}

}  // namespace

DatasetInfo read_info(hid_t file) {
  check(h5::has_attribute(file, schema::kFormat) && h5::read_string(file, schema::kFormat) == schema::kFormatName,
        "this HDF5 file was not made by `berth prepare`");
  DatasetInfo info;
  const int64_t version = h5::read_int(file, schema::kSchemaVersion);
  check(version >= 1 && version <= schema::kVersion, "the file has schema version ", version, ", this berth reads up to ",
        schema::kVersion, "; prepare the data again or use a newer berth");
  info.schema_version = static_cast<int>(version);
  const std::string task = h5::read_string(file, schema::kTask);
  const auto known = std::find_if(tasks().begin(), tasks().end(), [&](const TaskInfo& entry) { return entry.name == task; });
  check(known != tasks().end(), "the file is for the task '", task, "', which this berth does not know");
  info.task = known->kind;
  if (h5::has_attribute(file, schema::kLabelNames)) info.label_names = h5::read_strings(file, schema::kLabelNames);
  const std::set<std::string> distinct(info.label_names.begin(), info.label_names.end());
  check(distinct.size() == info.label_names.size() && (!known->has_label_names || !distinct.empty()),
        "its labels have no names, or two of them the same");
  const int64_t max_length = h5::read_int(file, schema::kMaxLength), vocab_size = h5::read_int(file, schema::kVocabSize);
  check(max_length > 0 && max_length <= INT32_MAX && vocab_size > 0 && vocab_size <= INT32_MAX, "max_length ", max_length,
        " or vocab_size ", vocab_size, " is out of range");
  info.max_length = static_cast<int>(max_length);
  info.vocab_size = static_cast<int>(vocab_size);
  info.vocab_sha256 = h5::read_string(file, schema::kVocabSha256);
  if (h5::has_attribute(file, schema::kDoLowerCase)) info.do_lower_case = h5::read_int(file, schema::kDoLowerCase) != 0;
  if (h5::has_attribute(file, schema::kNormalize)) info.normalize = read_normalize(file);
  if (h5::has_attribute(file, schema::kDocStride)) info.doc_stride = read_doc_stride(file, info);
  if (h5::has_attribute(file, schema::kFolds)) info.folds = read_folds(file);
  info.command = h5::read_string(file, schema::kCommand);
  if (h5::has_attribute(file, schema::kSourceFiles)) {
    const auto files = h5::read_strings(file, schema::kSourceFiles), digests = h5::read_strings(file, schema::kSourceSha256);
    check(files.size() == digests.size(), "there are ", files.size(), " source files and ", digests.size(), " digests");
    for (size_t i = 0; i < files.size(); ++i) info.source_sha256[files[i]] = digests[i];
  }
  for (const char* split : schema::kSplits) {
    if (!h5::has_link(file, split)) continue;
    info.splits.emplace_back(split);
    const h5::Handle group = h5::open_group(file, split);
    if (h5::has_attribute(group, schema::kContentSha256))
      info.content_sha256[split] = h5::read_string(group, schema::kContentSha256);
    if (h5::has_attribute(group, schema::kTruncated)) {
      const int64_t truncated = h5::read_int(group, schema::kTruncated);
      check(truncated >= 0, "'", schema::kTruncated, "' of ", split, " is ", truncated);
      info.truncated[split] = truncated;
    }
    if (h5::has_attribute(group, schema::kFoldsSha256)) info.folds_sha256 = h5::read_string(group, schema::kFoldsSha256);
  }
  return info;
}

}  // namespace berth::data
