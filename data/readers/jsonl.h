// JSON Lines: one object per line. The columns are the keys of the first object. Labels may be strings, numbers, booleans or
// lists of them; null means not labelled. Blank lines are skipped.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "data/readers/reader.h"

namespace berth::data {

class JsonlReader final : public RecordReader {
 public:
  JsonlReader(const Source& source, const ReaderOptions& options);
  bool next(Record& record) override;
  std::string columns() const override { return describe(columns_, names_); }
  uint64_t bytes_read() const override { return file_.bytes_read(); }
  uint64_t bytes_total() const override { return file_.bytes_total(); }

 private:
  bool next_line();
  std::string where() const;
  void parse(Record& record);
  void keep_fields(Record& record) const;
  std::vector<std::string> labels_of(const nlohmann::json& object) const;
  void take_choices(const nlohmann::json& object, Record& record) const;

  TextFile file_;
  ReaderOptions options_;
  std::string line_;
  std::vector<std::string> names_;
  Columns columns_;
  bool first_line_waits_ = true;
  int64_t line_number_ = 0, row_ = 0;
};

}  // namespace berth::data
