#include "data/readers/jsonl.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/check.h"
#include "data/json/json.h"
#include "data/words.h"

namespace berth::data {
namespace {

using Json = nlohmann::json;

Json parse_object(const std::string& line) {
  Json json = parse_json(line, "");
  check(json.is_object(), json.is_array() ? "a JSON array" : json.type_name(),
        "; expected one JSON object per line (jq -c '.[]' turns an array into that)");
  return json;
}

const Json& value_of(const Json& object, const std::string& key) {
  const auto found = object.find(key);
  check(found != object.end(), "the key '", key, "' is missing");
  return *found;
}

std::string text_of(const Json& object, const std::string& key) {
  const Json& value = value_of(object, key);
  check(value.is_string(), "'", key, "' is of type ", value.type_name(), ", expected a string");
  return value.get<std::string>();
}

std::string label_of(const Json& value, const std::string& key) {
  check(value.is_string() || value.is_number() || value.is_boolean(), "the label '", key, "' is of type ", value.type_name(),
        ", expected a string, a number or a list of them");
  return value.is_string() ? value.get<std::string>() : dump_json(value);
}

std::vector<std::string> strings_of(const Json& value, const std::string& key) {
  check(value.is_array(), "'", key, "' is of type ", value.type_name(), ", expected a list");
  std::vector<std::string> values;
  for (const Json& one : value) values.push_back(label_of(one, key));
  return values;
}

// Not JSON Lines: one document over several lines.
bool begins_a_document(const std::string& line) {
  const size_t first = line.find_first_not_of(" \t"), last = line.find_last_not_of(" \t\r");
  return first != std::string::npos && (line[first] == '[' || line[first] == '{') &&
         std::string_view("[{,").find(line[last]) != std::string_view::npos;
}

// Of an object that holds lists of rows ({"train": [["text", "label"], …]}), how to take them out.
std::string hint_of_lists(const Json& object) {
  for (const auto& [key, value] : object.items()) {
    if (!value.is_array() || value.empty() || !value[0].is_structured()) continue;
    return concat(" ('", key, "' holds a list of rows: jq -c '.", key, "[]",
                  value[0].is_array() ? " | {text: .[0], label: .[1]}" : "", "' makes JSON Lines of it)");
  }
  return "";
}

}  // namespace

JsonlReader::JsonlReader(const Source& source, const ReaderOptions& options) : file_(source), options_(options) {
  check(next_line(), source.name.string(), ": the file holds no lines");
  check(!begins_a_document(line_), source.name.string(),
        ": a JSON document over several lines; expected one JSON object per line (jq -c '.[]' makes that of an array, jq -c "
        "'.data[]' of an object "
        "that holds one as data)");
  const Json first = in_context(concat(source.name.string(), ": line ", line_number_), [&] { return parse_object(line_); });
  for (const auto& [key, value] : first.items()) names_.push_back(key);
  columns_ =
      resolve_columns(names_, options.columns, options.kind, options.need_label, source.name.string(), hint_of_lists(first));
}

std::string JsonlReader::where() const { return concat(file_.path().string(), ": row ", row_, " (line ", line_number_, ")"); }

bool JsonlReader::next_line() {
  while (file_.next_line(line_)) {
    ++line_number_;
    if (line_.find_first_not_of(" \t\r") == std::string::npos) continue;
    if (options_.encoding == TextEncoding::kLatin1) decode(options_.encoding, line_);
    return true;
  }
  return false;
}

bool JsonlReader::next(Record& record) {
  if (first_line_waits_)
    first_line_waits_ = false;
  else if (!next_line())
    return false;
  ++row_;
  record = Record{};
  record.row = row_;
  in_context([&] { return where(); }, [&] { parse(record); });
  return true;
}

void JsonlReader::keep_fields(Record& record) const {
  const auto object = parse_json<nlohmann::ordered_json>(line_, "");
  for (const auto& [key, value] : object.items()) {
    const auto column = std::find(names_.begin(), names_.end(), key);
    record.fields.push_back({key, dump_json(value), columns_.is_text(static_cast<size_t>(column - names_.begin()))});
  }
}

void JsonlReader::parse(Record& record) {
  const Json object = parse_object(line_);
  if (options_.keep_fields) keep_fields(record);
  if (options_.kind == RecordKind::kWords) {
    const std::string& key = names_[columns_.text.front()];
    const Json& words = value_of(object, key);
    if (words.is_string() && !options_.need_label)
      record.text = words.get<std::string>();
    else
      record.words = strings_of(words, key);
    record.tags = labels_of(object);
    if (record.words.empty() && !options_.need_label) record.tags.clear();
    check(record.tags.empty() || record.tags.size() == record.words.size(), "there are ", record.words.size(), " words and ",
          record.tags.size(), " tags");
    return;
  }
  for (size_t column : columns_.text) {
    if (!record.text.empty()) record.text += ' ';
    record.text += text_of(object, names_[column]);
  }
  record.has_pair = columns_.text_pair.has_value();
  if (columns_.text_pair) record.text_pair = text_of(object, names_[*columns_.text_pair]);
  record.labels = labels_of(object);
  take_choices(object, record);
  if (columns_.label && record.labels.empty()) {
    const auto label = object.find(names_[*columns_.label]);
    record.labelled_none = label != object.end() && label->is_array();
  }
}

// Lists of choices, single ones, or an object that has the names of the choices, too: {"text": […], "label": ["A", "B", …]}.
void JsonlReader::take_choices(const nlohmann::json& object, Record& record) const {
  if (!columns_.choices.empty() && !options_.need_label && record.labels == std::vector<std::string>{""}) record.labels.clear();
  for (const size_t column : columns_.choices) {
    const std::string& key = names_[column];
    const Json& value = value_of(object, key);
    if (value.is_string()) {
      record.choices.push_back(value.get<std::string>());
      continue;
    }
    const Json& texts = value.is_object() ? value_of(value, "text") : value;
    for (const std::string& choice : strings_of(texts, key)) record.choices.push_back(choice);
    if (!value.is_object() || record.labels.size() != 1) continue;
    const std::vector<std::string> names = strings_of(value_of(value, "label"), key);
    const auto right = std::find(names.begin(), names.end(), record.labels[0]);
    check(right != names.end(), "the label '", record.labels[0], "' is none of the choices' names, which are ", joined(names));
    record.labels = {std::to_string(right - names.begin())};
  }
}

std::vector<std::string> JsonlReader::labels_of(const nlohmann::json& object) const {
  if (!columns_.label) return {};
  const std::string& key = names_[*columns_.label];
  const auto label = object.find(key);
  const bool labelled = label != object.end() && !label->is_null();
  check(labelled || !options_.need_label, "the label '", key, "' is missing");
  if (!labelled) return {};
  if (label->is_array()) return strings_of(*label, key);
  return {label_of(*label, key)};
}

}  // namespace berth::data
