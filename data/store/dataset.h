// Reading a prepared data set. HDF5 stays behind this interface; the layout is in data/store/schema.h.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/samples/augment_kind.h"
#include "data/samples/batch.h"
#include "data/samples/normalize_options.h"
#include "data/samples/question.h"
#include "data/samples/task.h"

namespace berth::data {

// No data set has more folds.
inline constexpr int kMostFolds = 255;

// The file's attributes.
struct DatasetInfo {
  int schema_version = 0;
  TaskKind task = TaskKind::kSequenceClassification;
  std::vector<std::string> label_names;  // empty for tasks without classes
  int max_length = 0;
  std::string vocab_sha256;
  int vocab_size = 0;
  std::map<std::string, std::string> source_sha256;   // source file -> SHA-256
  std::optional<bool> do_lower_case;                  // of its tokenizer; unset in older files
  NormalizeOptions normalize;                         // what was done to the texts
  std::optional<int> doc_stride;                      // long texts are windows that share so many tokens; unset: they were cut
  std::map<std::string, std::string> content_sha256;  // split -> SHA-256 of its samples; empty in older files
  std::map<std::string, int64_t> truncated;           // split -> samples that were cut to max_length; empty in older files
  int folds = 0;                                      // that the training split is cut into for cross-validation; 0: it is not
  std::string folds_sha256;                           // of the fold of each sample
  std::string command;                                // the prepare command that made it
  std::vector<std::string> splits;                    // of "train", "validation", "test", those that are there
};

// One split of an open file. lengths() is in memory; read() goes to the file, or to what was read of it before. Threads may read at
// the same time (evaluation while the prefetcher reads ahead).
class Split {
 public:
  virtual ~Split() = default;
  virtual const std::filesystem::path& path() const = 0;  // of the file
  virtual const std::string& name() const = 0;
  virtual int64_t size() const = 0;
  virtual std::span<const int32_t> lengths() const = 0;  // [size()] tokens of each sample, of all its sequences
  virtual int64_t sequences_of(int64_t sample) const = 0;
  virtual int fold_of(int64_t sample) const = 0;  // of a training split that is cut into folds
  // Replaces `batch` by these samples, packed in this order. Throws Error(kBadInput) naming file, split and sample if the file is
  // damaged.
  virtual void read(std::span<const int64_t> samples, Batch& batch) const = 0;
  // The same of samples [begin, end) with nothing but their labels; not for questions and choices.
  virtual void read_labels(int64_t begin, int64_t end, Batch& batch) const = 0;
  // The source row (1-based, header not counted) of each of these samples.
  virtual std::vector<int64_t> rows(std::span<const int64_t> samples) const = 0;
  // How each of these samples was made out of its row's text.
  virtual std::vector<AugmentKind> augmented(std::span<const int64_t> samples) const = 0;

  // Question answering; splits of other tasks have no questions.
  virtual int64_t num_questions() const = 0;
  virtual int64_t question_of(int64_t sample) const = 0;  // never falls from sample to sample
  virtual Question question(int64_t index) const = 0;
  // Code points [begin, end) of the question or context that each of the sample's tokens came from.
  virtual std::vector<std::array<int32_t, 2>> token_offsets(int64_t sample) const = 0;
};

class Dataset {
 public:
  // Opens read-only, file locking off. Throws Error(kBadInput): no such file, not HDF5, not berth's, newer schema, truncated.
  static std::unique_ptr<Dataset> open(const std::filesystem::path& path);
  virtual ~Dataset() = default;
  virtual const DatasetInfo& info() const = 0;
  virtual const std::filesystem::path& path() const = 0;
  virtual bool has_split(const std::string& name) const = 0;
  // Throws Error(kBadInput) naming the splits that are there.
  virtual std::unique_ptr<Split> split(const std::string& name) const = 0;
};

}  // namespace berth::data
