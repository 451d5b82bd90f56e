// The readers on real files: row and label counts are those that the data sets' own documentation gives. Not a GoogleTest: it
// needs BERTH_DATASETS, and exits with 77 (skipped, says CTest) where that is not set.
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <string>

#include "data/readers/reader.h"
#include "data/text/normalize.h"

using namespace berth::data;

namespace {

struct Case {
  const char* file;
  int64_t rows;
  size_t labels;
  const char* label;  // one of them …
  int64_t count;      // … and how often it stands (0: not checked)
  bool pairs;
  ReaderOptions options = {};
};

const Case kCases[] = {
    {"sst2/train.tsv", 67349, 2, "1", 37569, false},
    {"sst2/dev.tsv", 872, 2, "1", 444, false},
    {"imdb/train.csv", 4000, 2, "positive", 0, false},
    {"imdb/test.csv", 2000, 2, "positive", 0, false},
    {"mrpc/train.tsv", 3668, 2, "1", 2474, true},
    {"mrpc/dev.tsv", 408, 2, "1", 279, true},
    {"stsb/train.tsv", 5749, 0, "", 0, true},
    {"stsb/dev.tsv", 1500, 0, "", 0, true},
    {"banking77/train.csv", 10003, 77, "card_arrival", 153, false},
    {"banking77/test.csv", 3080, 77, "card_arrival", 40, false},
    {"agnews/train.tsv", 10001, 4, "Sci/Tech", 0, false, {.no_header = true, .columns = {.text = "0", .label = "1"}}},
    {"agnews/test.csv", 7600, 4, "3", 1900, false, {.columns = {.text = "1,2", .label = "0"}}},
    {"sms_spam/SMSSpamCollection", 5574, 2, "spam", 747, false, {.columns = {.text = "1", .label = "0"}}},
    {"nlbse24/issues_train.csv", 1500, 3, "bug", 500, false, {.columns = {.text = "title,body"}}},
    {"nlbse24/issues_test.csv", 1500, 3, "bug", 500, false, {.columns = {.text = "title,body"}}},
    {"conll2003/train.txt", 14041, 9, "B-PER", 6600, false, {.kind = RecordKind::kWords}},
    {"conll2003/valid.txt", 3250, 9, "B-PER", 1842, false, {.kind = RecordKind::kWords}},
    {"squad/train.json", 8123, 0, "", 0, true, {.kind = RecordKind::kQuestions}},
    {"squad/valid.json", 1302, 0, "", 0, true, {.kind = RecordKind::kQuestions}},
    {"squad2/train.json", 4449, 0, "", 0, true, {.kind = RecordKind::kQuestions}},
    {"squad2/valid.json", 1629, 0, "", 0, true, {.kind = RecordKind::kQuestions}},
    {"xquad/xquad.zh.json", 1190, 0, "", 0, true, {.kind = RecordKind::kQuestions}},
    {"atis/train", 4478, 0, "", 0, false, {.kind = RecordKind::kWords}},
    {"atis/dev", 500, 0, "", 0, false},
    {"atis/test", 893, 0, "", 0, false, {.kind = RecordKind::kWords}},
};

int check_case(const std::filesystem::path& folder, const Case& expected) {
  const auto reader = open_reader(folder / expected.file, expected.options);
  int64_t rows = 0, pairs = 0;
  std::map<std::string, int64_t> labels;
  for (Record record; reader->next(record); ++rows) {
    for (const std::string& label : record.words.empty() ? record.labels : record.tags) ++labels[label];
    pairs += record.has_pair;
  }
  const bool good = rows == expected.rows && pairs == (expected.pairs ? rows : 0) &&
                    (expected.labels == 0 || labels.size() == expected.labels) &&
                    (expected.count == 0 || labels[expected.label] == expected.count);
  std::cout << (good ? "ok     " : "FAILED ") << expected.file << ": " << rows << " rows, " << labels.size() << " labels, '"
            << expected.label << "' " << labels[expected.label] << " times; " << reader->columns() << "\n";
  return good ? 0 : 1;
}

// The reviews of IMDb are full of "<br />": none may be left, nothing but markup may go, and a second time changes nothing.
int check_reviews(const std::filesystem::path& folder) {
  const NormalizeOptions all = {.html = true, .urls = true, .whitespace = true};
  const auto reader = open_reader(folder / "imdb/train.csv", {});
  int64_t marked = 0, left = 0, changed_plain = 0, changed_again = 0;
  for (Record record; reader->next(record);) {
    const std::string clean = normalize(record.text, all);
    const bool markup = record.text.find("<br />") != std::string::npos;
    marked += markup;
    left += clean.find("<br") != std::string::npos;
    changed_plain +=
        record.text.find_first_of("<&@") == std::string::npos && normalize(record.text, {.html = true}) != record.text;
    changed_again += normalize(clean, all) != clean;
  }
  const bool good = marked > 2000 && left == 0 && changed_plain == 0 && changed_again == 0;
  std::cout << (good ? "ok     " : "FAILED ") << "imdb/train.csv: " << marked << " reviews with <br />, " << left << " left, "
            << changed_plain << " without markup changed, " << changed_again << " changed again\n";
  return good ? 0 : 1;
}

}  // namespace

int main() {
  const char* folder = std::getenv("BERTH_DATASETS");
  if (folder == nullptr || !std::filesystem::is_directory(folder)) {
    std::cout << "not run: the readers on real data sets (BERTH_DATASETS names no folder)\n";
    return 77;
  }
  int failures = 0;
  for (const Case& expected : kCases) failures += check_case(folder, expected);
  failures += check_reviews(folder);
  return failures == 0 ? 0 : 1;
}
