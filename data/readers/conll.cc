#include "data/readers/conll.h"

#include <charconv>
#include <utility>

#include "data/check.h"

namespace berth::data {
namespace {

std::vector<std::string> split_at_spaces(const std::string& line) {
  std::vector<std::string> fields;
  for (size_t at = 0; (at = line.find_first_not_of(" \t", at)) != std::string::npos;) {
    const size_t end = std::min(line.find_first_of(" \t", at), line.size());
    fields.push_back(line.substr(at, end - at));
    at = end;
  }
  return fields;
}

size_t column_number(const std::string& text, size_t num_columns, size_t otherwise) {
  if (text.empty()) return otherwise;
  size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  check(error == std::errc() && end == text.data() + text.size() && number < num_columns, "there is no column '", text,
        "'; columns of this format are numbered from 0, and the file has ", num_columns);
  return number;
}

}  // namespace

ConllReader::ConllReader(const Source& source, const ReaderOptions& options) : file_(source), options_(options) {
  in_context(source.name.string(), [&] {
    bool more = next_line();
    while (more && fields_.empty()) more = next_line();
    check(more, "the file holds no words");
    num_columns_ = fields_.size();
    word_ = column_number(options.columns.text, num_columns_, 0);
    if (num_columns_ > 1 || !options.columns.label.empty())
      tag_ = column_number(options.columns.label, num_columns_, num_columns_ - 1);
    check(tag_ || !options.need_label, "the file has one column, expected words and tags");
  });
}

std::string ConllReader::columns() const {
  return concat("words: ", word_, tag_ ? concat(", tags: ", *tag_) : "", " of ", num_columns_, " columns");
}

bool ConllReader::next_line() {
  do {
    if (!file_.next_line(line_)) return false;
    ++line_number_;
  } while (line_.starts_with("-DOCSTART-"));
  in_context([&] { return concat("line ", line_number_); }, [&] { decode(options_.encoding, line_); });
  fields_ = split_at_spaces(line_);
  return true;
}

bool ConllReader::next(Record& record) {
  record = Record{};
  while (std::exchange(first_line_waits_, false) || in_context(file_.path().string(), [&] { return next_line(); })) {
    if (!fields_.empty())
      in_context([&] { return concat(file_.path().string(), ": line ", line_number_); }, [&] { take_word(record); });
    else if (!record.words.empty())
      break;
  }
  record.row = ++row_;
  return !record.words.empty();
}

void ConllReader::take_word(Record& record) {
  check(fields_.size() == num_columns_, "the line has ", fields_.size(), " columns instead of ", num_columns_);
  record.words.push_back(fields_[word_]);
  if (tag_) record.tags.push_back(fields_[*tag_]);
}

SequenceFolderReader::SequenceFolderReader(const std::filesystem::path& folder, const ReaderOptions& options)
    : options_(options), words_(folder / "seq.in") {
  const std::filesystem::path labels = folder / (options.kind == RecordKind::kWords ? "seq.out" : "label");
  if (options.need_label || std::filesystem::exists(labels)) labels_.emplace(labels);
}

std::string SequenceFolderReader::columns() const {
  const bool words = options_.kind == RecordKind::kWords;
  return concat(words ? "words: seq.in" : "text: seq.in", !labels_ ? "" : words ? ", tags: seq.out" : ", label: label");
}

bool SequenceFolderReader::next(Record& record) {
  record = Record{};
  std::string line, labels;
  const bool more = words_.next_line(line), labels_more = labels_ && labels_->next_line(labels);
  record.row = ++row_;
  in_context([&] { return concat(words_.path().string(), ": row ", row_); },
             [&] {
               check(!labels_ || more == labels_more, labels_ ? labels_->path().filename().string() : "", " has ",
                     more ? "fewer" : "more", " lines");
               decode(options_.encoding, line);
               decode(options_.encoding, labels);
               if (options_.kind == RecordKind::kWords) {
                 record.words = split_at_spaces(line);
                 record.tags = split_at_spaces(labels);
                 check(!labels_ || record.words.size() == record.tags.size(), "there are ", record.words.size(), " words and ",
                       record.tags.size(), " tags");
               } else {
                 record.text = line;
                 if (!labels.empty()) record.labels = {labels};
               }
             });
  return more;
}

}  // namespace berth::data
