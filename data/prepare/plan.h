// What is settled before a data set is written: which file feeds which splits, and the labels.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "data/features/assembler.h"
#include "data/prepare/prepare.h"
#include "data/prepare/stratified_split.h"
#include "data/readers/reader.h"
#include "data/samples/task.h"

namespace berth::data {

// A split while it is written.
struct OpenSplit {
  SplitReport report;
  int64_t max_rows = -1;
  int writer_id = 0;
  std::unordered_set<std::string> ids;                      // question answering
  std::vector<std::shared_ptr<Assembler>> assemblers = {};  // of language models: one, or one a fold
  bool full() const { return max_rows >= 0 && report.rows >= max_rows; }
};

// One pass over one file, which feeds one split, or two when the validation split is cut out of the training file. A training split may
// be cut into folds instead.
struct Job {
  Source file;
  std::vector<OpenSplit> splits;
  std::optional<StratifiedSplit> cut;
  std::optional<StratifiedFolds> folds = {};
  std::vector<std::string> columns = {};  // as PrepareOptions::test_columns
};

// What the validation split or folds are cut out by, of which only the first record says true: a record, or where there are documents
// one of them; for folds, consecutive questions about one context.
class Units {
 public:
  Units(const TaskInfo& task, bool folds)
      : documents_(task.has_documents), contexts_(folds && task.records == RecordKind::kQuestions) {}
  bool starts(const Record& record);

 private:
  bool documents_, contexts_, in_document_ = false;
  std::optional<std::string> context_ = {};
};

struct Plan {
  std::vector<Job> jobs;
  std::vector<std::string> label_names;
  std::vector<std::string> rare_labels = {};  // that have fewer rows than there are folds
};

// Of a row: its classes, or its words' tags.
const std::vector<std::string>& labels_of(const Record& record);
// The stratum of validation split and folds that a record is of: its label where it has just one, else all rows are alike.
std::string stratum_of(const TaskInfo& task, const Record& record);

std::unique_ptr<RecordReader> open_source(const PrepareOptions& options, const Source& file,
                                          const std::vector<std::string>& columns, bool need_label);

// The files of the options, each to be read as often as needed.
struct Sources {
  Source train, validation, test;
};

// Reads the training file once where labels or strata must be counted, and calls `tell` with the rows read every few hundred.
// Throws Error(kBadInput): no rows, too many labels, one class.
Plan make_plan(const PrepareOptions& options, const Sources& sources,
               const std::function<void(const RecordReader&, int64_t)>& tell);

}  // namespace berth::data
