// CSV and TSV.
//
// CSV is RFC 4180: fields may be quoted, a quote inside is doubled, quoted fields may hold commas and line ends. A quote inside
// an unquoted field is a plain character. In TSV, as GLUE's files have it, quotes are plain characters everywhere. Lines end with
// LF or CRLF; blank ones are skipped; each row must have as many fields as the first. open_reader takes semicolons for commas where the header
// shows them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/readers/reader.h"

namespace berth::data {

struct Dialect {
  char delimiter = ',';
  bool quotes = true;
  static Dialect csv() { return {',', true}; }
  static Dialect tsv() { return {'\t', false}; }
};

// Rows of raw fields. Throws Error(kBadInput) naming file and line.
class DelimitedRows {
 public:
  DelimitedRows(const Source& source, Dialect dialect);
  // Replaces `fields`; false at the end of the file.
  bool next(std::vector<std::string>& fields);
  int64_t line() const { return row_line_; }  // on which the last row starts, 1-based
  const TextFile& file() const { return file_; }

 private:
  int read_plain(std::string& field);
  int read_quoted(std::string& field);
  [[noreturn]] void fail_here(const std::string& what) const;

  TextFile file_;
  Dialect dialect_;
  bool stop_plain_[256] = {}, stop_quoted_[256] = {};
  int64_t line_ = 1, row_line_ = 1;
  size_t row_bytes_ = 0;
};

class DelimitedReader final : public RecordReader {
 public:
  DelimitedReader(const Source& source, Dialect dialect, const ReaderOptions& options);
  bool next(Record& record) override;
  std::string columns() const override {
    return describe(columns_, names_) + (dialect_.delimiter == ';' ? ", separated by ;" : "");
  }
  uint64_t bytes_read() const override { return rows_.file().bytes_read(); }
  uint64_t bytes_total() const override { return rows_.file().bytes_total(); }

 private:
  std::string where() const;
  void take_row(Record& record);
  void take_text(size_t column, std::string& text);
  void keep_fields(Record& record) const;

  Dialect dialect_;
  DelimitedRows rows_;
  ReaderOptions options_;
  std::vector<std::string> names_, fields_;
  Columns columns_;
  bool first_row_waits_ = false;  // fields_ holds the first example already
  int64_t row_ = 0;
};

}  // namespace berth::data
