#include "data/store/question_writer.h"

#include "data/check.h"
#include "data/store/schema.h"

namespace berth::data {

TextColumn::TextColumn(hid_t group, const std::string& name)
    : bytes_(group, name, H5T_STD_U8LE), ends_(group, name + schema::kEnds, H5T_STD_I64LE) {}

void TextColumn::append(const std::string& text) {
  bytes_.append(std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
  end_ += std::ssize(text);
  ends_.append(end_);
}

void TextColumn::finish() {
  bytes_.finish();
  ends_.finish();
}

QuestionWriter::QuestionWriter(hid_t group)
    : token_offsets_(group, schema::kTokenOffsets, H5T_STD_I32LE, 2),
      question_(group, schema::kQuestion, H5T_STD_I64LE),
      context_(group, schema::kContext, H5T_STD_I64LE),
      answer_ends_(group, schema::kAnswerEnds, H5T_STD_I64LE),
      ids_(group, schema::kIds),
      contexts_(group, schema::kContexts),
      answers_(group, schema::kAnswers) {}

void QuestionWriter::append(const Question& question) {
  ids_.append(question.id);
  if (num_contexts_ == 0 || question.context != last_context_) {
    contexts_.append(question.context);
    last_context_ = question.context;
    ++num_contexts_;
  }
  context_.append(num_contexts_ - 1);
  for (const std::string& answer : question.answers) answers_.append(answer);
  num_answers_ += std::ssize(question.answers);
  answer_ends_.append(num_answers_);
  ++num_questions_;
}

void QuestionWriter::append(const Sample& sample) {
  check_internal(num_questions_ > 0 && sample.offsets.size() == sample.input_ids.size(),
                 "a sample without its question or without an offset for each token");
  question_.append(num_questions_ - 1);
  token_offsets_.append(std::span(sample.offsets.data()->data(), sample.offsets.size() * 2));
}

void QuestionWriter::finish() {
  token_offsets_.finish();
  for (auto* column : {&question_, &context_, &answer_ends_}) column->finish();
  for (auto* column : {&ids_, &contexts_, &answers_}) column->finish();
}

}  // namespace berth::data
