#include "trainer/report/analysis_text.h"

#include <algorithm>
#include <cstdio>
#include <vector>

#include "data/check.h"
#include "data/json/json.h"
#include "data/utf8.h"
#include "data/words.h"
#include "trainer/report/markdown_table.h"

namespace berth::train {
namespace {

using Json = nlohmann::ordered_json;
using Rows = std::vector<std::vector<std::string>>;

constexpr size_t kMostClasses = 30, kMostInMatrix = 10, kMostMistakes = 5;
constexpr int64_t kMostCharacters = 70;  // of a cell

std::string four_digits(const Json& value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.4f", value.get<double>());
  return text;
}

// One line, and what would end a cell is none of it.
std::string cell(const Json& value) {
  std::string text;
  if (value.is_array())
    text = joined(value, ", ", [](const Json& part) { return cell(part); });
  else
    text = value.is_string() ? value.get<std::string>() : value.is_number_float() ? four_digits(value) : data::dump_json(value);
  for (char& c : text) c = c == '|' ? '/' : c == '\n' || c == '\r' || c == '\t' ? ' ' : c;
  if (data::count_code_points(text) <= kMostCharacters) return text;
  return std::string(data::slice_code_points(text, 0, kMostCharacters - 1)) + "…";
}

std::string class_table(const Json& analysis) {
  const Json& classes = analysis["classes"];
  Rows rows{{"", "precision", "recall", "f1", "support", "predicted"}};
  for (size_t c = 0; c < std::min(classes.size(), kMostClasses); ++c) {
    std::vector<std::string>& row = rows.emplace_back();
    for (const char* key : {"name", "precision", "recall", "f1", "support", "predicted"}) row.push_back(cell(classes[c][key]));
  }
  const std::string title =
      analysis.contains("positive")
          ? concat("each class (f1, precision and recall of the whole are those of ", cell(analysis["positive"]), "):\n")
          : "each class:\n";
  const std::string others = classes.size() > kMostClasses ? concat("… and ", classes.size() - kMostClasses, " more\n") : "";
  return title + markdown_table(rows) + others;
}

std::string confusion_table(const Json& confusion) {
  const Json& names = confusion["names"];
  if (names.size() > kMostInMatrix) return "";
  Rows rows{{"actual \\ predicted"}};
  for (const Json& name : names) {
    rows[0].push_back(cell(name));
    rows.push_back({cell(name)});
    rows.back().resize(names.size() + 1, "0");
  }
  for (const Json& one : confusion["cells"])
    rows.at(one[0].get<size_t>() + 1).at(one[1].get<size_t>() + 1) = data::dump_json(one[2]);
  return "who was taken for whom:\n" + markdown_table(rows);
}

std::string length_table(const Json& lengths) {
  Rows rows{{"words of the answer", "questions", "exact match", "f1"}};
  for (const Json& one : lengths)
    rows.push_back({cell(one["words"]), cell(one["count"]), cell(one["exact_match"]), cell(one["f1"])});
  return "by length:\n" + markdown_table(rows);
}

std::string mistake_table(const Json& mistakes) {
  const bool pairs = mistakes[0].contains("text_pair");
  const char* const size = mistakes[0].contains("error") ? "error" : "score";
  Rows rows{{"row", size, "actual", "predicted", "text"}};
  if (pairs) rows[0].emplace_back("second text");
  for (size_t m = 0; m < std::min(mistakes.size(), kMostMistakes); ++m) {
    const Json& one = mistakes[m];
    rows.push_back({cell(one["row"]), cell(one[size]), cell(one["actual"]), cell(one["predicted"]), cell(one["text"])});
    if (pairs) rows.back().push_back(one.contains("text_pair") ? cell(one["text_pair"]) : "");
  }
  return "the surest mistakes:\n" + markdown_table(rows);
}

}  // namespace

std::string analysis_text(const Json& analysis) {
  if (!analysis.is_object()) return "";
  std::string text;
  const auto has = [&](const char* key) { return analysis.contains(key) && !analysis[key].empty(); };
  if (has("classes")) text += class_table(analysis);
  if (has("confusion")) text += confusion_table(analysis["confusion"]);
  if (has("lengths")) text += length_table(analysis["lengths"]);
  if (has("mistakes")) text += mistake_table(analysis["mistakes"]);
  if (!text.empty()) text.pop_back();  // the last line's end
  return text;
}

}  // namespace berth::train
