// Questions about contexts, as two kinds of files have them:
//   SQuAD 1.1 and 2.0   {"data": [{"paragraphs": [{"context", "qas": [{"id", "question", "answers": [{"text",
//   "answer_start"}]}]}]}]} flat rows           {"id", "question", "context", "answers": {"text": […], "answer_start": […]}}, as
//   `datasets` writes them: one
//                       object after the other (JSON Lines), or in a list, or in {"data": […]}
// Whatever else stands in them (title, version, is_impossible, plausible_answers) is passed over: a question without answers is
// one that cannot be answered, as in Hugging Face's squad and squad_v2. A question without an id gets its number.
//
// The file is read one element of "data" (an article, a row) at a time; one over 64 MiB is an error, so memory is bounded.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "data/readers/reader.h"

namespace berth::data {

class SquadReader final : public RecordReader {
 public:
  SquadReader(const Source& source, const ReaderOptions& options);
  ~SquadReader() override;
  bool next(Record& record) override;
  std::string columns() const override { return "question, context, answers"; }
  uint64_t bytes_read() const override { return file_.bytes_read(); }
  uint64_t bytes_total() const override { return file_.bytes_total(); }

 private:
  bool next_element();
  void begin_object();
  void read_value(std::string& text);
  void check_length(const std::string& element) const;
  int read_until(const bool (&stops)[256], std::string& text);
  void read_string(std::string& text);
  int skip_space();
  void expect(char wanted);
  [[noreturn]] void malformed(std::string_view expected) const;
  std::string where() const;

  void take_element(std::string& text);
  bool next_question(Record& record);
  void take_question(const nlohmann::json& question, const nlohmann::json& paragraph, Record& record);

  TextFile file_;
  ReaderOptions options_;
  bool in_list_ = false;                     // inside the list of elements
  bool in_data_ = false;                     // that list is the value of "data"
  std::unique_ptr<nlohmann::json> element_;  // whose questions are being given out, from this one on
  size_t paragraph_ = 0, question_ = 0;
  int64_t elements_ = 0, row_ = 0;
};

}  // namespace berth::data
