// The reading half of what only splits of questions have (data/store/schema.h). Everything in the file is distrusted.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "data/samples/question.h"
#include "data/store/column_reader.h"

namespace berth::data {

// Texts, end to end.
class TextReader {
 public:
  TextReader(hid_t group, const std::string& name, uint64_t file_size);
  int64_t size() const { return static_cast<int64_t>(ends_.size()); }
  std::string read(int64_t index) const;

 private:
  ColumnReader<uint8_t> bytes_;
  std::vector<int64_t> ends_;
};

class QuestionReader {
 public:
  // Of a split with these many samples and tokens.
  QuestionReader(hid_t group, uint64_t file_size, int64_t samples, int64_t tokens);

  int64_t num_questions() const { return static_cast<int64_t>(context_.size()); }
  int64_t question_of(int64_t sample) const { return question_[static_cast<size_t>(sample)]; }
  Question question(int64_t index) const;
  std::vector<std::array<int32_t, 2>> token_offsets(int64_t first_token, int64_t count) const;

 private:
  ColumnReader<int32_t> token_offsets_;
  std::vector<int64_t> question_, context_, answer_ends_;
  TextReader ids_, contexts_, answers_;
};

}  // namespace berth::data
