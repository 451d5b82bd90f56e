// Words with tags, as two kinds of files have them.
//
// CoNLL: a word per line with its columns, separated by spaces or tabs; a blank line ends a sentence; -DOCSTART- lines are
// skipped. The word is the first column and the tag the last (CoNLL-2003 has four columns, many files two), unless their numbers
// are given. Tags are kept as they are (IOB1, IOB2, BIOES, …).
//
// A folder with seq.in (a sentence per line, words separated by spaces), seq.out (as many tags) and label (an intent per line),
// as ATIS and SNIPS are published: words and tags, or text and label, as the options ask.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/readers/reader.h"

namespace berth::data {

class ConllReader final : public RecordReader {
 public:
  ConllReader(const Source& source, const ReaderOptions& options);
  bool next(Record& record) override;
  std::string columns() const override;
  uint64_t bytes_read() const override { return file_.bytes_read(); }
  uint64_t bytes_total() const override { return file_.bytes_total(); }

 private:
  bool next_line();
  void take_word(Record& record);

  TextFile file_;
  ReaderOptions options_;
  std::string line_;
  std::vector<std::string> fields_;  // of line_; empty at the end of a sentence
  size_t num_columns_ = 0, word_ = 0;
  std::optional<size_t> tag_;
  bool first_line_waits_ = true;
  int64_t line_number_ = 0, row_ = 0;
};

class SequenceFolderReader final : public RecordReader {
 public:
  SequenceFolderReader(const std::filesystem::path& folder, const ReaderOptions& options);
  bool next(Record& record) override;
  std::string columns() const override;
  uint64_t bytes_read() const override { return words_.bytes_read(); }
  uint64_t bytes_total() const override { return words_.bytes_total(); }

 private:
  ReaderOptions options_;
  TextFile words_;
  std::optional<TextFile> labels_;  // seq.out or label
  int64_t row_ = 0;
};

}  // namespace berth::data
