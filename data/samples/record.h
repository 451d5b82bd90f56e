// One example of a data set as its file has it, before any tokenization. All readers produce it, all features consume it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace berth::data {

// What a data set's records hold.
enum class RecordKind {
  kText,       // text, optionally a second one, labels
  kWords,      // words and their tags
  kQuestions,  // a question as the text, its context as the second, answers
  kChoices,    // a text, what all choices begin with as the second, choices; the right one's number or letter as the label
};

struct Answer {
  std::string text;
  int64_t start = 0;  // code points into the context
};

// A column of a record's row: its value as JSON, and whether it is (a part of) the record's text or its pair.
struct Field {
  std::string name, json;
  bool text = false;
};

// The task decides which fields are filled. Text is valid UTF-8.
struct Record {
  int64_t row = 0;                  // 1-based; a header and blank lines are not counted
  std::string text;                 // the text, the first of a pair, or the question
  std::string text_pair;            // the second of a pair, or the context
  bool has_pair = false;            // a pair's second text may be empty
  std::vector<std::string> labels;  // class name(s) or the number of a regression; empty: not labelled …
  bool labelled_none = false;       // … or, if this says so, labelled with none (multi-label)

  std::vector<std::string> choices;      // multiple choice
  std::vector<std::string> words, tags;  // token classification, of equal size
  std::string id;                        // question answering
  bool has_answers = false;              // the file says which answers there are, perhaps none
  std::vector<Answer> answers;

  std::vector<Field> fields;  // the whole row in the file's order, where ReaderOptions::keep_fields asks for it
};

}  // namespace berth::data
