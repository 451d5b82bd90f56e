#include "data/readers/delimited.h"

#include <nlohmann/json.hpp>

#include "data/check.h"
#include "data/json/json.h"

namespace berth::data {
namespace {

constexpr size_t kMaxFields = 65536;

}  // namespace

DelimitedRows::DelimitedRows(const Source& source, Dialect dialect) : file_(source), dialect_(dialect) {
  stop_plain_[static_cast<unsigned char>(dialect.delimiter)] = stop_plain_[static_cast<unsigned char>('\n')] = true;
  stop_quoted_[static_cast<unsigned char>('"')] = stop_quoted_[static_cast<unsigned char>('\n')] = true;
}

void DelimitedRows::fail_here(const std::string& what) const {
  fail(ExitCode::kBadInput, file_.path().string(), ": line ", line_, ": ", what);
}

// Both read one field and return what ended it: the delimiter, '\n' or -1.
int DelimitedRows::read_plain(std::string& field) {
  while (file_.append_until(stop_plain_, field)) {
    if (row_bytes_ + field.size() > kMaxRecordBytes) fail_here(concat("a row is longer than ", kMaxRecordBytes >> 20, " MiB"));
    const int c = file_.peek();
    if (c < 0 || !stop_plain_[c]) continue;
    file_.get();
    if (c == '\n' && field.ends_with('\r')) field.pop_back();
    return c;
  }
  return -1;
}

int DelimitedRows::read_quoted(std::string& field) {
  const int64_t opened = line_;
  while (file_.append_until(stop_quoted_, field)) {
    const bool endless = row_bytes_ + field.size() > kMaxRecordBytes;
    const int c = endless ? -1 : file_.peek();
    if (c < 0) break;
    if (!stop_quoted_[c]) continue;
    file_.get();
    if (c == '"' && file_.peek() != '"') {
      if (file_.peek() == '\r') file_.get();
      const int after = file_.get();
      if (after >= 0 && after != '\n' && after != dialect_.delimiter)
        fail_here("text after a closing quote; a quote inside a quoted field is written twice");
      return after;
    }
    if (c == '"') file_.get();
    line_ += c == '\n';
    field += static_cast<char>(c);
  }
  fail_here(concat("the quote opened on line ", opened, " is never closed"));
}

bool DelimitedRows::next(std::vector<std::string>& fields) {
  while (file_.peek() >= 0) {
    row_line_ = line_;
    row_bytes_ = 0;
    size_t count = 0;
    bool quoted = false;
    const auto delimiter = static_cast<unsigned char>(dialect_.delimiter);
    int end = delimiter;
    for (; end == delimiter; ++count) {
      if (count == fields.size()) fields.emplace_back();
      std::string& field = fields[count];
      field.clear();
      quoted = dialect_.quotes && file_.peek() == '"';
      if (quoted) file_.get();
      end = quoted ? read_quoted(field) : read_plain(field);
      row_bytes_ += field.size();
      if (count > kMaxFields) fail_here(concat("a row has more than ", kMaxFields, " fields"));
    }
    line_ += end == '\n';
    fields.resize(count);
    if (count > 1 || quoted || !fields[0].empty()) return true;
  }
  return false;
}

namespace {

// The parts between separators, without spaces around them and without empty ones.
std::vector<std::string> split_labels(const std::string& cell, const std::string& separator) {
  std::vector<std::string> labels;
  for (size_t at = 0; at <= cell.size();) {
    const size_t end = std::min(cell.find(separator, at), cell.size());
    const size_t first = cell.find_first_not_of(' ', at);
    if (first < end) labels.push_back(cell.substr(first, cell.find_last_not_of(' ', end - 1) + 1 - first));
    at = end + separator.size();
  }
  return labels;
}

}  // namespace

DelimitedReader::DelimitedReader(const Source& source, Dialect dialect, const ReaderOptions& options)
    : dialect_(dialect), rows_(source, dialect), options_(options) {
  const std::string file = source.name.string();
  check(rows_.next(fields_), file, ": the file holds no rows");
  in_context(concat(file, ": line 1"), [&] {
    for (std::string& field : fields_) decode(options.encoding, field);
  });
  const bool header = !options.no_header && options.column_names.empty();
  if (header && looks_like_header(fields_, options.columns)) {
    names_ = fields_;
  } else if (!options.column_names.empty()) {
    names_ = options.column_names;
    check(names_.size() == fields_.size(), file, ": ", names_.size(), " column names are given, the first row has ",
          fields_.size(), " fields");
    first_row_waits_ = true;
  } else {
    for (size_t i = 0; i < fields_.size(); ++i) names_.push_back(std::to_string(i));
    const auto numbered = [](const std::string& column) { return column.find_first_not_of("0123456789,") == std::string::npos; };
    const ColumnOptions& named = options.columns;
    const bool numbers = !named.text.empty() && numbered(named.text) && numbered(named.text_pair) && numbered(named.label);
    if (header && !numbers) names_ = fields_;  // resolve_columns lists them
    first_row_waits_ = true;
  }
  const bool choices = options.kind == RecordKind::kChoices;
  const std::string hint = header && first_row_waits_ ? " (or is the first row no header? --column-names text,label)" : "";
  columns_ = resolve_columns(names_, options.columns, choices ? RecordKind::kChoices : RecordKind::kText, options.need_label,
                             file, hint);
}

std::string DelimitedReader::where() const {
  return concat(rows_.file().path().string(), ": row ", row_, " (line ", rows_.line(), ")");
}

void DelimitedReader::take_text(size_t column, std::string& text) {
  in_context([&] { return "column '" + names_[column] + "'"; }, [&] { decode(options_.encoding, fields_[column]); });
  if (text.empty())
    text.swap(fields_[column]);
  else
    text += ' ' + fields_[column];
}

void DelimitedReader::keep_fields(Record& record) const {
  for (size_t i = 0; i < fields_.size(); ++i) {
    std::string cell = fields_[i];
    in_context([&] { return "column '" + names_[i] + "'"; }, [&] { decode(options_.encoding, cell); });
    record.fields.push_back({names_[i], dump_json(nlohmann::json(std::move(cell))), columns_.is_text(i)});
  }
}

bool DelimitedReader::next(Record& record) {
  if (first_row_waits_)
    first_row_waits_ = false;
  else if (!rows_.next(fields_))
    return false;
  ++row_;
  in_context([&] { return where(); }, [&] { take_row(record); });
  return true;
}

void DelimitedReader::take_row(Record& record) {
  check(fields_.size() == names_.size(), "the row has ", fields_.size(), " fields instead of ", names_.size());
  record = Record{};
  record.row = row_;
  if (options_.keep_fields) keep_fields(record);
  for (size_t column : columns_.text) take_text(column, record.text);
  record.has_pair = columns_.text_pair.has_value();
  if (columns_.text_pair) take_text(*columns_.text_pair, record.text_pair);
  for (size_t column : columns_.choices) take_text(column, record.choices.emplace_back());
  while (!record.choices.empty() && record.choices.back().empty()) record.choices.pop_back();  // a row with fewer of them
  if (!columns_.label) return;
  std::string label;
  take_text(*columns_.label, label);
  if (!options_.label_separator.empty()) {
    record.labels = split_labels(label, options_.label_separator);
    record.labelled_none = record.labels.empty();
    return;
  }
  check(!label.empty() || !options_.need_label, "the label (column '", names_[*columns_.label], "') is empty");
  if (!label.empty()) record.labels = {std::move(label)};
}

}  // namespace berth::data
