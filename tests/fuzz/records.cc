// Files of examples, from the file to the samples. The first byte chooses task, format and encoding.
#include <map>

#include "data/features/features.h"
#include "data/features/labels.h"
#include "data/readers/reader.h"
#include "data/utf8.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/small_tokenizer.h"

namespace {

using namespace berth;
using data::FileFormat;
using data::TaskKind;

struct Choice {
  TaskKind task;
  FileFormat format;
  const char* label_separator = "";
  bool no_header = false;
};
constexpr Choice kChoices[] = {
    {TaskKind::kSequenceClassification, FileFormat::kCsv},   {TaskKind::kSequenceClassification, FileFormat::kTsv, "", true},
    {TaskKind::kSequenceClassification, FileFormat::kJsonl}, {TaskKind::kRegression, FileFormat::kCsv},
    {TaskKind::kMultiLabel, FileFormat::kCsv, ";"},          {TaskKind::kMultiLabel, FileFormat::kJsonl},
    {TaskKind::kTokenClassification, FileFormat::kConll},    {TaskKind::kTokenClassification, FileFormat::kJsonl},
    {TaskKind::kQuestionAnswering, FileFormat::kJsonl},      {TaskKind::kMultipleChoice, FileFormat::kCsv},
    {TaskKind::kMultipleChoice, FileFormat::kJsonl},         {TaskKind::kMaskedLm, FileFormat::kLines},
};

constexpr int kMaxLength = 16;

const data::BertTokenizer& tokenizer() {
  static const data::BertTokenizer made(fuzz::small_vocab(), {});
  return made;
}

std::vector<std::string> labels_of(const std::vector<data::Record>& records) {
  data::LabelCounts counts;
  for (const data::Record& record : records) {
    for (const std::string& label : record.labels) ++counts[label];
    for (const std::string& tag : record.tags) ++counts[tag];
  }
  for (const auto& [label, count] : counts) data::check_label(label);
  return data::sort_labels(counts);
}

void require_utf8(const data::Record& record) {
  std::vector<std::string> texts{record.text, record.text_pair, record.id};
  for (const auto* list : {&record.labels, &record.choices, &record.words, &record.tags})
    texts.insert(texts.end(), list->begin(), list->end());
  for (const data::Answer& answer : record.answers) texts.push_back(answer.text);
  for (const data::Field& field : record.fields) texts.insert(texts.end(), {field.name, field.json});
  for (const std::string& text : texts) fuzz::require(!data::find_invalid_utf8(text), "texts are UTF-8");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Choice& choice = kChoices[(data[0] & 15) % std::size(kChoices)];
  const data::TaskInfo& task = data::task_info(choice.task);
  const fuzz::InputFile file(fuzz::text_of(data + 1, size - 1));
  fuzz::reads([&] {
    const auto reader =
        data::open_reader({file.path(), "file"},
                          {.format = choice.format,
                           .kind = task.records,
                           .encoding = data[0] & 16 ? data::TextEncoding::kLatin1 : data::TextEncoding::kUtf8,
                           .no_header = choice.no_header,
                           .label_separator = choice.label_separator,
                           .columns = choice.no_header ? data::ColumnOptions{.text = "0", .label = "1"} : data::ColumnOptions{},
                           .keep_blank_lines = (data[0] & 32) != 0,
                           .need_label = choice.format != FileFormat::kLines && (data[0] & 64) == 0,
                           .keep_fields = (data[0] & 128) != 0});
    std::vector<data::Record> records;
    for (data::Record record; reader->next(record);) {
      require_utf8(record);
      fuzz::require(record.words.size() == record.tags.size() || record.tags.empty(), "each word has a tag");
      records.push_back(record);
    }
    fuzz::require(reader->bytes_read() == size - 1, "the file is read to its end");
    const auto features =
        data::make_features(choice.task, tokenizer(),
                            {.max_length = kMaxLength,
                             .label_names = task.has_label_names ? labels_of(records) : std::vector<std::string>{},
                             .doc_stride = 4,
                             .offsets = true,
                             .windows = choice.task == TaskKind::kTokenClassification});
    for (const data::Record& record : records) {
      std::vector<data::Sample> samples;
      fuzz::reads([&] { features->make(record, samples); });
      for (const data::Sample& sample : samples)
        fuzz::require(!sample.input_ids.empty() && sample.input_ids.size() <= kMaxLength, "samples are cut at max_length");
    }
  });
  return 0;
}
