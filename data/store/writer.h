// Writing a prepared data set: samples stream in, memory stays bounded, and the file appears under its name only when it is
// whole.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "data/samples/sample.h"
#include "data/store/dataset.h"

namespace berth::data {

// Writes under a temporary name (files.h); commit() syncs and renames. Without commit() the destructor removes it.
// Errors (a full disk, no permission) are Error(kBadInput). For one thread at a time.
class DatasetWriter {
 public:
  // `vocab_size` and `num_labels` shape the datasets and bound the values.
  DatasetWriter(std::filesystem::path path, TaskKind task, int32_t vocab_size, int32_t num_labels);
  ~DatasetWriter();
  DatasetWriter(const DatasetWriter&) = delete;
  DatasetWriter& operator=(const DatasetWriter&) = delete;

  // What a split may hold.
  struct SplitOptions {
    bool augmented = false;          // samples that are
    bool several_sequences = false;  // samples of several sequences
    bool folds = false;              // samples that have one
  };
  // Adds the split "train", "validation" or "test", each once, and returns its number for append().
  int add_split(const std::string& name, SplitOptions options);
  int add_split(const std::string& name) { return add_split(name, {}); }
  void append(int split, const Sample& sample, int fold = 0);
  // Question answering: a question, whose samples are appended next.
  void append(int split, const Question& question);
  // Writes the attributes (task and vocab_size must be those of the constructor, splits is ignored), syncs file and folder,
  // renames.
  void commit(const DatasetInfo& info);

 private:
  struct File;
  std::unique_ptr<File> file_;
};

}  // namespace berth::data
