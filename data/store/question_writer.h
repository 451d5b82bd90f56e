// The writing half of what only splits of questions have (data/store/schema.h).
#pragma once

#include <string>

#include "data/samples/question.h"
#include "data/samples/sample.h"
#include "data/store/column_writer.h"

namespace berth::data {

// Texts, end to end.
class TextColumn {
 public:
  TextColumn(hid_t group, const std::string& name);
  void append(const std::string& text);
  void finish();

 private:
  ColumnWriter<uint8_t> bytes_;
  ColumnWriter<int64_t> ends_;
  int64_t end_ = 0;
};

class QuestionWriter {
 public:
  explicit QuestionWriter(hid_t group);
  void append(const Question& question);  // its samples follow
  void append(const Sample& sample);
  void finish();

 private:
  ColumnWriter<int32_t> token_offsets_;
  ColumnWriter<int64_t> question_, context_, answer_ends_;
  TextColumn ids_, contexts_, answers_;
  int64_t num_questions_ = 0, num_contexts_ = 0, num_answers_ = 0;
  std::string last_context_;
};

}  // namespace berth::data
