#include "data/readers/columns.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <string_view>
#include <utility>

#include "data/check.h"
#include "data/words.h"

namespace berth::data {
namespace {

using Names = std::vector<std::string>;

// First and second text, in order of preference; before the single texts because "question" and "sentence" stand in both.
constexpr std::array<std::pair<std::string_view, std::string_view>, 10> kPairs{{{"sentence1", "sentence2"},
                                                                                {"premise", "hypothesis"},
                                                                                {"question1", "question2"},
                                                                                {"#1 string", "#2 string"},
                                                                                {"question", "sentence"},
                                                                                {"text_a", "text_b"},
                                                                                {"text1", "text2"},
                                                                                {"query", "passage"},
                                                                                {"question", "answer"},
                                                                                {"text", "text_pair"}}};
constexpr std::array<std::string_view, 12> kTexts{"text",  "sentence",  "review", "content",  "comment", "message",
                                                  "tweet", "utterance", "body",   "document", "query",   "question"};
constexpr std::array<std::string_view, 16> kLabels{"label", "labels",       "sentiment",  "category",   "intent", "score",
                                                   "class", "target",       "quality",    "gold_label", "topic",  "rating",
                                                   "stars", "is_duplicate", "label_name", "class index"};

// Multiple choice: the text and what all choices begin with; keys that hold a list of choices, columns that hold one, numbered.
constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kChoicePairs{
    {{"sent1", "sent2"}, {"context", "question"}, {"article", "question"}, {"passage", "question"}, {"ctx_a", "ctx_b"}}};
constexpr std::array<std::string_view, 6> kChoiceTexts{"context", "ctx", "premise", "question", "sent1", "text"};
constexpr std::array<std::string_view, 3> kChoiceLists{"choices", "endings", "options"};
constexpr std::array<std::string_view, 5> kChoiceNames{"ending", "choice", "option", "answer", "solution"};
constexpr std::array<std::string_view, 7> kAnswers{"label", "answer", "answerkey", "answer_idx", "correct", "gold", "target"};

constexpr std::array<std::string_view, 2> kWords{"tokens", "words"};
constexpr std::array<std::string_view, 5> kTags{"ner_tags", "tags", "labels", "ner", "slots"};

std::string lowered(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front()))) text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.remove_suffix(1);
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

std::optional<size_t> find_usual(const Names& names, std::string_view usual) {
  for (size_t i = 0; i < names.size(); ++i)
    if (lowered(names[i]) == usual) return i;
  return std::nullopt;
}

template <size_t N>
std::optional<size_t> find_usual(const Names& names, const std::array<std::string_view, N>& usual) {
  for (std::string_view name : usual)
    if (const auto at = find_usual(names, name)) return at;
  return std::nullopt;
}

std::string list(const Names& names) {
  return joined(names, ", ", [](const std::string& name) { return concat(name.substr(0, 40), name.size() > 40 ? "…" : ""); });
}

// By name, else by number; nothing if it is neither.
std::optional<size_t> find_named(const Names& names, const std::string& wanted, const std::string& where) {
  const auto matches = std::count(names.begin(), names.end(), wanted);
  check(matches <= 1, where, ": ", matches, " columns are called '", wanted, "'; name it by its number, from 0");
  if (matches == 1) return static_cast<size_t>(std::find(names.begin(), names.end(), wanted) - names.begin());
  size_t number = 0;
  const auto [end, error] = std::from_chars(wanted.data(), wanted.data() + wanted.size(), number);
  if (error == std::errc() && end == wanted.data() + wanted.size() && number < names.size()) return number;
  return std::nullopt;
}

// `option`: which names it.
size_t need_named(const Names& names, const std::string& wanted, const std::string& option, const std::string& where) {
  const auto at = find_named(names, wanted, where);
  check(at.has_value(), where, ": there is no column '", wanted, "' (", option, "); the ", names.size(),
        " columns are: ", list(names));
  return *at;
}

Names split_list(const std::string& text) {
  Names parts(1);
  for (char c : text) {
    if (c == ',')
      parts.emplace_back();
    else
      parts.back() += c;
  }
  return parts;
}

template <size_t N, size_t M>
void guess_texts(const Names& names, const std::array<std::pair<std::string_view, std::string_view>, N>& pairs,
                 const std::array<std::string_view, M>& texts, const ColumnOptions& options, Columns& columns) {
  columns.guessed = true;
  for (const auto& [first, second] : pairs) {
    const auto a = find_usual(names, first), b = find_usual(names, second);
    if (!a || !b || !options.guess_pairs) continue;
    columns.text = {*a};
    if (options.text_pair.empty()) columns.text_pair = b;
    return;
  }
  if (const auto at = find_usual(names, texts)) columns.text = {*at};
}

std::vector<size_t> guess_choices(const Names& names) {
  if (const auto list = find_usual(names, kChoiceLists)) return {*list};
  for (const std::string_view name : kChoiceNames)
    for (const size_t first : {0, 1}) {
      std::vector<size_t> choices;
      while (const auto at = find_usual(names, concat(name, first + choices.size()))) choices.push_back(*at);
      if (choices.size() > 1) return choices;
    }
  return {};
}

void resolve_choices(const Names& names, const ColumnOptions& options, const std::string& where, const std::string& hint,
                     Columns& columns) {
  if (options.choices.empty()) {
    columns.choices = guess_choices(names);
    columns.guessed = true;
  } else {
    for (const std::string& part : split_list(options.choices))
      columns.choices.push_back(need_named(names, part, options.named_by.value_or("--choice-columns"), where));
  }
  check(!columns.choices.empty(), where,
        ": no columns with usual names for the choices (ending0, ending1, …; choices); name them (--choice-columns). The ",
        names.size(), " columns are: ", list(names), hint);
}

}  // namespace

ColumnOptions columns_called(ColumnOptions usual, const Names& names) {
  ColumnOptions called;
  const std::pair<std::string_view, std::string ColumnOptions::*> roles[] = {{"text", &ColumnOptions::text},
                                                                             {"text-pair", &ColumnOptions::text_pair},
                                                                             {"text_pair", &ColumnOptions::text_pair},
                                                                             {"label", &ColumnOptions::label},
                                                                             {"choices", &ColumnOptions::choices}};
  for (const std::string& name : names) {
    const size_t equals = std::min(name.find('='), name.size());
    const auto role =
        std::find_if(std::begin(roles), std::end(roles), [&](const auto& one) { return one.first == name.substr(0, equals); });
    check_usage(role != std::end(roles) && equals + 1 < name.size(), "'", name,
                "' names no column: text=…, text-pair=…, label=… and choices=… do");
    std::string& column = called.*role->second;
    column += (column.empty() ? "" : ",") + name.substr(equals + 1);
    usual.*role->second = column;
    usual.named_by = "--…-column-names";
  }
  return usual;
}

Columns resolve_columns(const Names& names, const ColumnOptions& options, RecordKind kind, bool need_label,
                        const std::string& where, const std::string& hint) {
  Columns columns;
  if (options.text.empty()) {
    const auto words = kind == RecordKind::kWords ? find_usual(names, kWords) : std::nullopt;
    if (words)
      columns.text = {*words}, columns.guessed = true;
    else if (kind == RecordKind::kChoices)
      guess_texts(names, kChoicePairs, kChoiceTexts, options, columns);
    else if (kind == RecordKind::kText || !need_label)
      guess_texts(names, kPairs, kTexts, options, columns);
  } else if (const auto whole = find_named(names, options.text, where)) {
    columns.text = {*whole};
  } else {
    for (const std::string& part : split_list(options.text))
      columns.text.push_back(need_named(names, part, options.named_by.value_or("--text-column"), where));
  }
  const bool words = kind == RecordKind::kWords, with_choices = kind == RecordKind::kChoices;
  check(!columns.text.empty(), where, ": no column with a usual name for the ",
        words ? "words (tokens, words)" : "text (text, sentence, review, …)", "; name it (--text-column). The ", names.size(),
        " columns are: ", list(names), hint);
  if (with_choices) resolve_choices(names, options, where, hint, columns);
  if (!options.text_pair.empty())
    columns.text_pair = need_named(names, options.text_pair, options.named_by.value_or("--text-pair-column"), where);
  if (!options.label.empty()) {
    const auto label = find_named(names, options.label, where);
    if (need_label && !label) need_named(names, options.label, options.named_by.value_or("--label-column"), where);
    columns.label = label;
  } else {
    columns.label = words ? find_usual(names, kTags) : with_choices ? find_usual(names, kAnswers) : find_usual(names, kLabels);
    columns.guessed |= columns.label.has_value();
    check(columns.label || !need_label, where, ": no column with a usual name for the ",
          words ? "tags (ner_tags, tags, labels, …)" : "label (label, sentiment, category, …)",
          "; name it (--label-column). The ", names.size(), " columns are: ", list(names), hint);
  }
  const bool label_is_text = columns.label && (columns.label == columns.text_pair ||
                                               std::count(columns.text.begin(), columns.text.end(), *columns.label) > 0);
  check(!label_is_text, where, ": column '", names[columns.label.value_or(0)],
        "' cannot be the text and the label: name another one (--text-column, --label-column). The ", names.size(),
        " columns are: ", list(names), hint);
  columns.guessed &= names.size() > 1;
  return columns;
}

bool Columns::is_text(size_t column) const {
  return text_pair == column || std::find(text.begin(), text.end(), column) != text.end();
}

bool looks_like_header(const Names& cells, const ColumnOptions& options) {
  for (const std::string* wanted : {&options.text, &options.text_pair, &options.label})
    if (!wanted->empty() && std::count(cells.begin(), cells.end(), *wanted) > 0) return true;
  Columns guess;
  guess_texts(cells, kPairs, kTexts, {}, guess);
  return !guess.text.empty() || find_usual(cells, kLabels).has_value() || !guess_choices(cells).empty();
}

std::string describe(const Columns& columns, const Names& names) {
  std::string text = "text: ";
  for (size_t i = 0; i < columns.text.size(); ++i) text += (i > 0 ? " + " : "") + names[columns.text[i]];
  if (columns.text_pair) text += ", pair: " + names[*columns.text_pair];
  for (const size_t choice : columns.choices) text += (choice == columns.choices.front() ? ", choices: " : " + ") + names[choice];
  if (columns.label) text += ", label: " + names[*columns.label];
  return text + (columns.guessed ? " (guessed)" : "");
}

}  // namespace berth::data
