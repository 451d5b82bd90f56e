// Raw files to a prepared data set: reader -> features (tokenizer) -> store, by several threads, with bounded memory and a result
// that does not depend on the number of threads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/features/tag_scheme.h"
#include "data/readers/reader.h"
#include "data/text/augment.h"
#include "data/text/normalize.h"

namespace berth::data {

struct PrepareOptions {
  std::string task = "sequence-classification";  // name or alias (samples/task.h)
  std::filesystem::path train_file = {};         // at least one of the three
  std::filesystem::path validation_file = {};
  std::filesystem::path test_file = {};    // labels are not needed here
  std::filesystem::path tokenizer = {};    // a model folder or a vocab.txt
  std::optional<bool> do_lower_case = {};  // unset: as BertTokenizer::load() finds it
  std::filesystem::path output = {};       // the .h5 file; replaced if it exists
  ReaderOptions reader = {};               // format, encoding, header and columns of all files; need_label is set by split
  std::vector<std::string> validation_columns = {};  // of that file, where they are called otherwise: columns_called()
  std::vector<std::string> test_columns = {};
  double validation_split = 0;         // this fraction of the training file becomes the validation split, stratified by label
  int folds = 0;                       // that the training split is cut into instead, stratified by label; 0: none
  uint64_t seed = 42;                  // of these choices, of augmentation and of sentence pairs
  NormalizeOptions normalize = {};     // done to each text before it is tokenized
  AugmentOptions augment = {};         // of the training split alone
  std::optional<int> max_length = {};  // tokens per sample, special ones included; unset: the task's (samples/task.h)
  std::optional<int> doc_stride = {};  // see FeatureOptions
  int threads = 0;                     // 0: one per core
  int64_t max_train_samples = -1;      // only the first so many rows of the split; -1: all
  int64_t max_eval_samples = -1;
  int64_t max_predict_samples = -1;           // of the test split
  std::vector<std::string> label_names = {};  // classes in this order; empty: those of the training file, sorted
  bool label_all_tokens = false;              // token classification: every WordPiece of a word carries its tag
  bool line_by_line = false;                  // masked-lm: each text is a sample, instead of blocks of max_length tokens
  std::string command = {};  // kept in the file; leave --threads out of it, so that the file does not depend on it

  // Throws Error(kUsage).
  void validate() const;
};

// Where the work stands. A stage is one pass over one file.
struct PrepareProgress {
  std::string stage;                         // "reading labels", or the names of the splits being written
  uint64_t bytes_done = 0, bytes_total = 0;  // of the stage's file; total is 0 for a pipe
  int64_t rows = 0;                          // read so far in the stage
};

struct SplitReport {
  std::string name, file, columns;  // columns: which are read, and whether they were guessed
  int64_t rows = 0, samples = 0, sequences = 0, tokens = 0;
  int64_t windowed = 0, most_windows = 0;         // texts cut into windows, and the most that one was cut into
  std::map<int64_t, int64_t> cut_lengths = {};    // samples that were cut to max_length, by the tokens that they have whole
  int64_t empty = 0;                              // rows whose text is empty
  int64_t unlabelled = 0;                         // rows without a label
  std::map<std::string, int64_t> augmented = {};  // samples made by each kind of augmentation
  int64_t not_augmented = 0;                      // copies left out, because their tokens are those of their row
  // Question answering: questions for which the file says that there is no answer; answers that the context does not have where
  // the file says; answers that lie whole in no window, so that all are labelled as without answer.
  int64_t unanswerable = 0, misaligned = 0, unreached = 0;
  std::string summary = {};  // of language models: what became of the texts, and what was left out
  std::map<std::string, int64_t> label_counts = {};
  TagSchemes tag_schemes = {};        // token classification
  std::vector<int64_t> folds = {};    // samples of each fold but for augmented ones
  std::vector<int64_t> lengths = {};  // [max_length + 1] sequences of each length in tokens

  int64_t truncated() const;  // samples cut to max_length
};

struct PrepareReport {
  std::vector<SplitReport> splits;
  std::vector<std::string> label_names;
  std::vector<std::string> rare_labels;  // that have fewer rows than there are folds
  bool cased_vocabulary = false;         // although texts are lower-cased without having been asked to
  bool can_make_windows = false;         // --doc-stride would keep what is cut; of pairs it may not, whose first text stays whole
  double seconds = 0;
  uint64_t file_bytes = 0;  // of the output
};

// Calls `progress` (may be empty) about every few hundred rows, one thread at a time. Polls `stop` (may be empty); when it says
// so, throws Error(kInternal). Whatever is thrown, nothing appears under the output's name. Throws Error(kBadInput) and
// Error(kUsage) too.
PrepareReport prepare(const PrepareOptions& options, const std::function<void(const PrepareProgress&)>& progress = {},
                      const std::function<bool()>& stop = {});

// The report for people: rows, labels, truncation, a histogram of lengths, speed.
std::string describe(const PrepareReport& report);

}  // namespace berth::data
