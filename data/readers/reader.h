// Reading a file of examples, whatever its format: one record at a time, in the order of the file, memory bounded.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/readers/columns.h"
#include "data/readers/text_file.h"
#include "data/samples/record.h"

namespace berth::data {

enum class FileFormat { kAuto, kCsv, kTsv, kJsonl, kConll, kLines };

struct ReaderOptions {
  // auto: a folder is read as seq.in, seq.out and label; else by the name's ending (.csv, .tsv, .jsonl, .conll, …), else, for
  // texts without labels, plain lines, and for others by the first line ('{': JSONL, a tab: TSV).
  FileFormat format = FileFormat::kAuto;
  RecordKind kind = RecordKind::kText;
  TextEncoding encoding = TextEncoding::kUtf8;
  bool no_header = false;                      // CSV and TSV: the first row is an example; name columns by number, from 0
  std::vector<std::string> column_names = {};  // CSV and TSV without a header: these are the names
  std::string label_separator = {};            // CSV and TSV: a cell holds several labels, or none, with this between them
  ColumnOptions columns = {};                  // empty ones are guessed
  bool keep_blank_lines = false;               // plain text: blank lines are records with an empty text
  bool need_label = true;                      // a label column must be there, and filled in every row
  bool keep_fields = false;                    // CSV, TSV and JSON Lines: Record::fields
};

class RecordReader {
 public:
  virtual ~RecordReader() = default;
  // Replaces `record` by the next one; false at the end. Throws Error(kBadInput) naming file, row and column.
  virtual bool next(Record& record) = 0;
  virtual std::string columns() const = 0;  // which columns are read, for the user: "text: sentence, label: label (guessed)"
  virtual uint64_t bytes_read() const = 0;
  virtual uint64_t bytes_total() const = 0;  // 0 if the input is no regular file
};

// Throws Error(kBadInput) if the file cannot be read or does not have the columns, Error(kUsage) if its format cannot be told.
std::unique_ptr<RecordReader> open_reader(const Source& source, const ReaderOptions& options);

// "csv", "tsv", "jsonl", "conll", "text" or "auto". Throws Error(kUsage).
FileFormat find_format(const std::string& name);

}  // namespace berth::data
