#include "data/store/question_reader.h"

#include "data/check.h"
#include "data/store/schema.h"
#include "data/utf8.h"

namespace berth::data {
namespace {

// A list of numbers that never fall, from 0 to `last` at most.
std::vector<int64_t> read_rising(hid_t group, const std::string& name, uint64_t file_size, int64_t last) {
  const ColumnReader<int64_t> column(group, name, file_size);
  check(column.width() == 0, "'", name, "' is not a list of numbers");
  const std::vector<int64_t> values = column.read(0, column.rows());
  int64_t before = 0;
  for (int64_t value : values) {
    check(value >= before && value <= last, "'", name, "' has ", value, " after ", before, ", expected no less and at most ",
          last);
    before = value;
  }
  return values;
}

}  // namespace

TextReader::TextReader(hid_t group, const std::string& name, uint64_t file_size) : bytes_(group, name, file_size) {
  check(bytes_.width() == 0, "'", name, "' is not a list of bytes");
  ends_ = read_rising(group, name + schema::kEnds, file_size, static_cast<int64_t>(bytes_.rows()));
}

std::string TextReader::read(int64_t index) const {
  const auto i = static_cast<size_t>(index);
  const int64_t begin = index == 0 ? 0 : ends_[i - 1];
  const std::vector<uint8_t> bytes = bytes_.read(static_cast<uint64_t>(begin), static_cast<uint64_t>(ends_[i] - begin));
  std::string text(bytes.begin(), bytes.end());
  check(!find_invalid_utf8(text), "a text of a question is not UTF-8");
  return text;
}

QuestionReader::QuestionReader(hid_t group, uint64_t file_size, int64_t samples, int64_t tokens)
    : token_offsets_(group, schema::kTokenOffsets, file_size),
      ids_(group, schema::kIds, file_size),
      contexts_(group, schema::kContexts, file_size),
      answers_(group, schema::kAnswers, file_size) {
  const int64_t questions = ids_.size();
  question_ = read_rising(group, schema::kQuestion, file_size, questions - 1);
  context_ = read_rising(group, schema::kContext, file_size, contexts_.size() - 1);
  answer_ends_ = read_rising(group, schema::kAnswerEnds, file_size, answers_.size());
  check(std::ssize(question_) == samples && std::ssize(context_) == questions && std::ssize(answer_ends_) == questions, "'",
        schema::kQuestion, "', '", schema::kContext, "' or '", schema::kAnswerEnds, "' does not fit the ", samples,
        " samples and the ", questions, " questions");
  for (size_t i = 0; i < question_.size(); ++i)
    check(question_[i] <= (i == 0 ? 0 : question_[i - 1] + 1), "question ", question_[i] - 1, " has no samples");
  check(samples == 0 || question_.back() + 1 == questions, "question ", questions - 1, " has no samples");
  check(static_cast<int64_t>(token_offsets_.rows()) == tokens && token_offsets_.width() == 2, "'", schema::kTokenOffsets,
        "' has the shape [", token_offsets_.rows(), ", ", token_offsets_.width(), "] instead of [", tokens, ", 2]");
}

Question QuestionReader::question(int64_t index) const {
  const auto i = static_cast<size_t>(index);
  Question question{.id = ids_.read(index), .context = contexts_.read(context_[i]), .answers = {}};
  for (int64_t a = index == 0 ? 0 : answer_ends_[i - 1]; a < answer_ends_[i]; ++a) question.answers.push_back(answers_.read(a));
  return question;
}

std::vector<std::array<int32_t, 2>> QuestionReader::token_offsets(int64_t first_token, int64_t count) const {
  const std::vector<int32_t> flat = token_offsets_.read(static_cast<uint64_t>(first_token), static_cast<uint64_t>(count));
  std::vector<std::array<int32_t, 2>> offsets(static_cast<size_t>(count));
  for (size_t t = 0; t < offsets.size(); ++t) {
    offsets[t] = {flat[2 * t], flat[2 * t + 1]};
    check(offsets[t][0] >= 0 && offsets[t][0] <= offsets[t][1], "token ", t, " claims the code points ", offsets[t][0], " to ",
          offsets[t][1]);
  }
  return offsets;
}

}  // namespace berth::data
