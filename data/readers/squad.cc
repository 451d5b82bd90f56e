#include "data/readers/squad.h"

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "data/check.h"
#include "data/json/json.h"

namespace berth::data {
namespace {

using Json = nlohmann::json;

// Code points of a context that may be pointed at: any that a text below 1 GiB has.
constexpr int64_t kMaxStart = int64_t{1} << 30;

const Json& value_of(const Json& object, const char* key) {
  check(object.is_object(), "a JSON ", object.type_name(), " where an object with '", key, "' is expected");
  const auto found = object.find(key);
  check(found != object.end(), "the key '", key, "' is missing");
  return *found;
}

const Json& list_of(const Json& object, const char* key) {
  const Json& value = value_of(object, key);
  check(value.is_array(), "'", key, "' is of type ", value.type_name(), ", expected a list");
  return value;
}

std::string text_of(const Json& object, const char* key) {
  const Json& value = value_of(object, key);
  check(value.is_string(), "'", key, "' is of type ", value.type_name(), ", expected a string");
  return value.get<std::string>();
}

Answer answer_of(const Json& text, const Json& start) {
  check(text.is_string(), "an answer's 'text' is of type ", text.type_name(), ", expected a string");
  check(start.is_number_integer(), "an 'answer_start' is of type ", start.type_name(), ", expected an integer");
  const bool fits = start.is_number_unsigned() ? start.get<uint64_t>() <= kMaxStart : start.get<int64_t>() >= -kMaxStart;
  check(fits, "the answer_start ", dump_json(start), " is out of range");
  return {text.get<std::string>(), start.get<int64_t>()};
}

std::vector<Answer> answers_of(const Json& answers) {
  std::vector<Answer> found;
  if (answers.is_array()) {
    for (const Json& answer : answers) found.push_back(answer_of(value_of(answer, "text"), value_of(answer, "answer_start")));
    return found;
  }
  const Json &texts = list_of(answers, "text"), &starts = list_of(answers, "answer_start");
  check(texts.size() == starts.size(), "there are ", texts.size(), " answer texts and ", starts.size(), " answer_start");
  for (size_t i = 0; i < texts.size(); ++i) found.push_back(answer_of(texts[i], starts[i]));
  return found;
}

// For the user: the id, or what can be said instead.
std::string name_of(const Json& question, int64_t row) {
  const auto id = question.is_object() ? question.find("id") : question.end();
  if (!question.is_object() || id == question.end()) return concat("number ", row);
  return id->is_string() ? id->get<std::string>() : dump_json(*id);
}

// Bytes at which what is copied stops, as TextFile::append_until wants them.
struct Stops {
  bool at[256] = {};
  explicit constexpr Stops(std::string_view bytes) {
    for (const char c : bytes) at[static_cast<unsigned char>(c)] = true;
  }
};
constexpr Stops kStringStops("\"\\"), kNameStops("{}[],:\" \t\n\r");

bool is_space(int c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

}  // namespace

SquadReader::SquadReader(const Source& source, const ReaderOptions& options) : file_(source), options_(options) {}

SquadReader::~SquadReader() = default;

std::string SquadReader::where() const { return concat(file_.path().string(), ": element ", elements_); }

void SquadReader::malformed(std::string_view expected) const {
  fail(ExitCode::kBadInput, file_.path().string(), ": not valid JSON near byte ", file_.bytes_read(), ": expected ", expected,
       "; questions are read from SQuAD's JSON, or from JSON Lines with question, context and answers");
}

int SquadReader::skip_space() {
  while (is_space(file_.peek())) file_.get();
  return file_.peek();
}

void SquadReader::expect(char wanted) {
  if (skip_space() != wanted) malformed(concat("'", wanted, "'"));
  file_.get();
}

void SquadReader::check_length(const std::string& element) const {
  // Not by check(), whose arguments would be made for each piece.
  if (element.size() > kMaxRecordBytes) fail(ExitCode::kBadInput, where(), " is longer than ", kMaxRecordBytes >> 20, " MiB");
}

// Appends what follows up to the first of `stops`, and returns that, still to be read; -1 at the end of the file.
int SquadReader::read_until(const bool (&stops)[256], std::string& text) {
  for (;;) {
    check_length(text);
    const int c = file_.peek();
    if (c < 0 || stops[c]) return c;
    file_.append_until(stops, text);
  }
}

// Appends the string that starts here, quotes included.
void SquadReader::read_string(std::string& text) {
  text += static_cast<char>(file_.get());
  for (;;) {
    const int stop = read_until(kStringStops.at, text);
    if (stop >= 0) text += static_cast<char>(file_.get());
    if (stop == '"') return;
    const int escaped = file_.get();  // behind a backslash
    if (escaped < 0) malformed("the end of a string, not of the file");
    text += static_cast<char>(escaped);
  }
}

// Appends the value that starts here, up to its closing bracket.
void SquadReader::read_value(std::string& text) {
  int depth = 0;
  do {
    const int c = skip_space();
    if (c < 0) malformed("a value, not the end of the file");
    check_length(text);
    if (c == '"') {
      read_string(text);
    } else if (c == '{' || c == '[' || c == '}' || c == ']' || c == ',' || c == ':') {
      depth += c == '{' || c == '[' ? 1 : c == '}' || c == ']' ? -1 : 0;
      if (depth < 0 || (depth == 0 && (c == ',' || c == ':'))) malformed("a value");
      text += static_cast<char>(file_.get());
    } else {  // a number or a name
      read_until(kNameStops.at, text);
      text += depth > 0 ? " " : "";
    }
  } while (depth > 0);
}

// Reads an object of the top level up to the list in its "data", or whole: then it is a row itself.
void SquadReader::begin_object() {
  expect('{');
  std::string row = "{";
  for (bool first = true; skip_space() != '}'; first = false) {
    if (!first) expect(',');
    if (skip_space() != '"') malformed("a key");
    std::string key;
    read_string(key);
    expect(':');
    if (key == "\"data\"" && skip_space() == '[') {
      file_.get();
      in_list_ = in_data_ = true;
      return;
    }
    row += (first ? "" : ",") + key + ":";
    read_value(row);
  }
  file_.get();
  row += "}";
  ++elements_;
  take_element(row);
}

// Reads on: perhaps to the next element, perhaps only to where a list begins or ends. False at the end of the file.
bool SquadReader::next_element() {
  if (!in_list_) {
    const int c = skip_space();
    if (c < 0) {
      check(row_ > 0, file_.path().string(), ": the file holds no questions");
      return false;
    }
    if (c == '{') {
      begin_object();
    } else {
      expect('[');
      in_list_ = true;
    }
    return true;
  }
  if (skip_space() != ']') {
    std::string element;
    read_value(element);
    ++elements_;
    take_element(element);
    if (skip_space() != ',' && skip_space() != ']') malformed("',' or ']'");
    if (skip_space() == ',') file_.get();
    return true;
  }
  file_.get();
  while (in_data_ && skip_space() == ',') {  // what stands after "data"
    file_.get();
    std::string passed;
    if (skip_space() != '"') malformed("a key");
    read_string(passed);
    expect(':');
    read_value(passed);
  }
  if (in_data_) expect('}');
  in_list_ = in_data_ = false;
  return true;
}

void SquadReader::take_element(std::string& text) {
  in_context([&] { return where(); },
             [&] {
               if (options_.encoding == TextEncoding::kLatin1) decode(options_.encoding, text);
               element_ = std::make_unique<Json>(parse_json(text, ""));
               check(element_->is_object(), "a JSON ", element_->type_name(),
                     ", expected an article with paragraphs, or a question with its context");
               check(element_->contains("paragraphs") || element_->contains("question") || element_->contains("context"),
                     "an object without 'paragraphs' (SQuAD's articles) and without 'question' and 'context' (flat rows)");
               paragraph_ = question_ = 0;
             });
}

bool SquadReader::next(Record& record) {
  while (!in_context([&] { return where(); }, [&] { return next_question(record); }))
    if (!next_element()) return false;
  return true;
}

// False if the element has no more questions.
bool SquadReader::next_question(Record& record) {
  if (!element_) return false;
  if (!element_->contains("paragraphs")) {
    take_question(*element_, *element_, record);
    element_.reset();
    return true;
  }
  const Json& paragraphs = list_of(*element_, "paragraphs");
  for (; paragraph_ < paragraphs.size(); ++paragraph_, question_ = 0) {
    const Json& questions = list_of(paragraphs[paragraph_], "qas");
    if (question_ == questions.size()) continue;
    take_question(questions[question_++], paragraphs[paragraph_], record);
    return true;
  }
  element_.reset();
  return false;
}

void SquadReader::take_question(const Json& question, const Json& paragraph, Record& record) {
  record = Record{};
  record.row = ++row_;
  in_context(
      [&] { return concat("question ", name_of(question, row_)); },
      [&] {
        record.text = text_of(question, "question");
        record.text_pair = text_of(paragraph, "context");
        record.has_pair = true;
        const auto id = question.find("id");
        record.id = id == question.end() ? std::to_string(row_) : id->is_string() ? id->get<std::string>() : dump_json(*id);
        const auto answers = question.find("answers");
        record.has_answers = answers != question.end() && !answers->is_null();
        check(record.has_answers || !options_.need_label, "the key 'answers' is missing");
        if (record.has_answers) record.answers = answers_of(*answers);
      });
}

}  // namespace berth::data
