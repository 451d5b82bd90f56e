// Plain text: each line is a record, blank ones only if that is asked for.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "data/readers/reader.h"

namespace berth::data {

// Nothing but ASCII white space.
inline bool is_blank(const std::string& text) { return text.find_first_not_of(" \t\r\n\f\v") == std::string::npos; }

class LinesReader final : public RecordReader {
 public:
  LinesReader(const Source& source, const ReaderOptions& options);
  bool next(Record& record) override;
  std::string columns() const override { return "text: each line"; }
  uint64_t bytes_read() const override { return file_.bytes_read(); }
  uint64_t bytes_total() const override { return file_.bytes_total(); }

 private:
  TextFile file_;
  TextEncoding encoding_;
  bool keep_blank_lines_;
  int64_t row_ = 0, line_number_ = 0;
};

}  // namespace berth::data
