// Which columns of a table hold the text, its pair and the label: named by the user, numbered, or guessed from the usual names.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/samples/record.h"

namespace berth::data {

// As the user says it. A column is its name or its 0-based number; several text columns ("title,body") are joined by a space.
// Empty: guess.
struct ColumnOptions {
  std::string text = {};
  std::string text_pair = {};
  std::string label = {};
  std::string choices = {};                  // several, or a key that holds a list
  bool guess_pairs = true;                   // false: each record is one text
  std::optional<std::string> named_by = {};  // the option that names them; unset: each has its own
};

// `usual`, but for what `names` say: "text=body", "text-pair=…", "label=…" or "choices=…"; of one that stands there several times all are
// joined. Throws Error(kUsage).
ColumnOptions columns_called(ColumnOptions usual, const std::vector<std::string>& names);

// Indexes into the table's column names.
struct Columns {
  std::vector<size_t> text;
  std::optional<size_t> text_pair;
  std::optional<size_t> label;
  std::vector<size_t> choices;
  bool guessed = false;  // at least one of them was, of several

  bool is_text(size_t column) const;  // or its pair
};

// Throws Error(kBadInput), which lists the columns there are: a named column is missing or ambiguous, or none could be guessed. A
// pair is guessed only together with its first text; a label only has to be found if `need_label`. For kWords,
// text and label are the columns of words and tags. For kChoices the guess are run_swag's (sent1, sent2, ending0, ending1, …, label) and
// other data sets' names. `where` starts the sentence; `hint` ends one about what could not be guessed.
Columns resolve_columns(const std::vector<std::string>& names, const ColumnOptions& options, RecordKind kind, bool need_label,
                        const std::string& where, const std::string& hint = "");

// True if `cells` looks like a header: it holds a usual name of a text column, or all names of `options`.
bool looks_like_header(const std::vector<std::string>& cells, const ColumnOptions& options);

// "text: sentence1, pair: sentence2, label: label (guessed)".
std::string describe(const Columns& columns, const std::vector<std::string>& names);

}  // namespace berth::data
