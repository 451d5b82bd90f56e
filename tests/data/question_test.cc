// Questions from their files to windows in the store. Windows and labels against goldens that Hugging Face's tokenizers wrote
// (tests/golden/question_golden.py).
#include "data/features/question.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "data/prepare/prepare.h"
#include "data/store/dataset.h"
#include "data/utf8.h"
#include "tests/data/dataset_file.h"

// HDF5 does not free all of what it read of a damaged file. LeakSanitizer asks this function what to overlook.
extern "C" const char* __lsan_default_suppressions() { return "leak:libhdf5"; }

namespace berth::data {
namespace {

using namespace testing;

const std::string kGolden = std::string(BERTH_SOURCE_DIR) + "/tests/golden/";

// hashed() of question_golden.py, over the ids and then the offsets of the context.
std::string hash_of(const Sample& sample) {
  uint64_t value = 0;
  const auto add = [&](int32_t number) { value = value * 1000003 + static_cast<uint64_t>(number) + 1; };
  for (int32_t id : sample.input_ids) add(id);
  for (size_t t = static_cast<size_t>(sample.segment_b); t < sample.offsets.size(); ++t)
    for (int32_t n : sample.offsets[t]) add(n);
  char text[17];
  std::snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(value));
  return text;
}

TEST(QuestionFeatures, WindowsAndLabelsAreTheReferences) {
  const BertTokenizer tokenizer = BertTokenizer::load(kGolden + "tokenizer_vocab.txt");
  std::ifstream in(kGolden + "question_windows.json");
  const auto cases = nlohmann::json::parse(in);
  int windows = 0, answers = 0, impossible = 0;
  for (const auto& c : cases) {
    const QuestionFeatures features(tokenizer, {.max_length = c["max_length"], .doc_stride = c["stride"]});
    Record record;
    record.text = c["question"];
    record.text_pair = c["context"];
    record.has_pair = true;
    record.has_answers = true;
    for (const auto& answer : c["answers"]) record.answers.push_back({answer[0], answer[1]});
    std::vector<Sample> samples;
    if (c["windows"].is_null()) {
      EXPECT_NE(error_of([&] { features.make(record, samples); }), "") << c.dump();
      ++impossible;
      continue;
    }
    features.make(record, samples);
    nlohmann::json found = nlohmann::json::array();
    for (const Sample& s : samples) {
      found.push_back({s.input_ids.size(), s.segment_b, s.labels.at(0), s.labels.at(1), hash_of(s)});
      answers += s.labels[0] > 0;
    }
    EXPECT_EQ(found, c["windows"]) << c.dump();
    windows += static_cast<int>(samples.size());
  }
  EXPECT_GT(windows, 900);
  EXPECT_GT(answers, 150);
  EXPECT_GT(impossible, 10);
}

// So many words of one token each.
std::string words(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += i % 2 == 0 ? "film " : "good ";
  return text;
}

class QuestionFile : public ::testing::Test {
 protected:
  std::vector<Record> read(std::string_view bytes, bool need_label = true, const char* name = "q.json") {
    const auto reader =
        open_reader(write_bytes(folder_ / name, bytes), {.kind = RecordKind::kQuestions, .need_label = need_label});
    std::vector<Record> records;
    for (Record record; reader->next(record);) records.push_back(record);
    return records;
  }
  std::string error(std::string_view bytes, bool need_label = true) {
    return error_of([&] { read(bytes, need_label); });
  }
  // Prepares a training file of flat rows; the error, or "".
  std::string prepare_error(std::string_view rows, int max_length = 24, int stride = 4) {
    PrepareOptions options;
    options.task = "qa";
    options.tokenizer = write_bytes(folder_ / "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ngood\nfilm\nwas\nwhich\né\n");
    options.output = folder_ / "data.h5";
    options.train_file = write_bytes(folder_ / "train.jsonl", rows);
    options.max_length = max_length;
    options.doc_stride = stride;
    options.threads = 2;
    return error_of([&] { report_ = prepare(options); });
  }
  static std::string row(const std::string& id, const std::string& context, const std::string& answer, int64_t start) {
    nlohmann::json json{{"id", id}, {"question", "  which film"}, {"context", context}};
    json["answers"] = {{"text", nlohmann::json::array()}, {"answer_start", nlohmann::json::array()}};
    if (start >= 0) json["answers"] = {{"text", {answer}}, {"answer_start", {start}}};
    return json.dump() + "\n";
  }

  TempDir folder_;
  PrepareReport report_;
};

constexpr const char* kSquad = R"({"version": "v2.0", "data": [
 {"title": "A \"quoted\" [title] {", "paragraphs": [
   {"context": "été \ud83d\ude00 film", "qas": [
     {"id": "a", "question": "Which?", "answers": [{"text": "film", "answer_start": 6}, {"text": "été", "answer_start": 0}], "is_impossible": false},
     {"id": "b", "question": "None?", "answers": [], "plausible_answers": [{"text": "film", "answer_start": 6}], "is_impossible": true}]},
   {"context": "", "qas": []}]},
 {"title": "empty", "paragraphs": []},
 {"paragraphs": [{"context": "x", "qas": [{"id": 7, "question": "", "answers": [{"text": "x", "answer_start": -1}]}]}]}
], "more": [1, {"a": "]"}, null]})";

TEST_F(QuestionFile, SquadIsReadArticleByArticle) {
  const auto records = read(kSquad);
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(records[0].id, "a");
  EXPECT_EQ(records[0].row, 1);
  EXPECT_EQ(records[0].text, "Which?");
  EXPECT_EQ(records[0].text_pair, "été 😀 film");
  ASSERT_EQ(records[0].answers.size(), 2u);
  EXPECT_EQ(records[0].answers[1].text, "été");
  EXPECT_EQ(records[0].answers[0].start, 6);
  EXPECT_TRUE(records[1].answers.empty() && records[1].has_answers);
  EXPECT_EQ(records[2].id, "7");
  EXPECT_EQ(records[2].answers[0].start, -1);
}

// Files are read in blocks of 1 MiB: wherever one ends, a string goes on.
TEST_F(QuestionFile, SquadIsTheSameWhereverABlockEnds) {
  const std::string text = R"(\"\\\\\\\\\")";
  for (size_t before = (1 << 20) - 60; before < (1 << 20) - 10; ++before) {
    std::string bytes = R"({"version": ")";
    bytes.resize(before, 'x');
    bytes += R"(", "data": [{"question": "q", "context": ")" + text + R"(", "answers": [], "n": 12}]})";
    const auto records = read(bytes);
    ASSERT_EQ(records.size(), 1u);
    EXPECT_EQ(records[0].text_pair, R"("\\\\")") << before;
  }
}

TEST_F(QuestionFile, FlatRowsStandOnLinesInListsAndInData) {
  const std::string a = row("a", "good film", "film", 5), b = row("b", "good", "", -1);
  for (const std::string& bytes : {a + b, a + "\n  " + b + "\n", "[" + a + "," + b + "]", R"({"data": [)" + a + "," + b + "]}"}) {
    const auto records = read(bytes);
    ASSERT_EQ(records.size(), 2u) << bytes;
    EXPECT_EQ(records[0].text_pair, "good film");
    EXPECT_EQ(records[0].answers[0].text, "film");
    EXPECT_TRUE(records[1].has_answers && records[1].answers.empty());
  }
  const auto records = read(R"({"question": "q", "context": "c"})", false);
  EXPECT_FALSE(records.at(0).has_answers);
  EXPECT_EQ(records[0].id, "1");
}

TEST_F(QuestionFile, SaysWhatIsWrong) {
  const struct {
    const char *bytes, *says;
  } cases[] = {
      {R"({"id": "q7", "question": "q", "answers": {"text": [], "answer_start": []}})",
       "question q7: the key 'context' is missing"},
      {R"({"id": "q7", "context": "q", "answers": {"text": [], "answer_start": []}})",
       "question q7: the key 'question' is missing"},
      {R"({"id": "q7", "question": "q", "context": "c"})", "question q7: the key 'answers' is missing"},
      {R"({"id": "q7", "question": 3, "context": "c", "answers": []})", "question q7: 'question' is of type number"},
      {R"({"id": "q7", "question": "q", "context": "c", "answers": {"text": ["a"], "answer_start": []}})",
       "1 answer texts and 0"},
      {R"({"id": "q7", "question": "q", "context": "c", "answers": [{"text": "a"}]})", "the key 'answer_start' is missing"},
      {R"({"id": "q7", "question": "q", "context": "c", "answers": [{"text": "a", "answer_start": "0"}]})", "of type string"},
      {R"({"id": "q7", "question": "q", "context": "c", "answers": [{"text": "a", "answer_start": 99999999999999999999}]})",
       "number"},
      {R"({"id": "q7", "question": "q", "context": "c", "answers": [{"text": "a", "answer_start": 9000000000}]})",
       "out of range"},
      {R"({"data": [{"paragraphs": [{"context": "c", "qas": [{"id": "q7", "answers": []}]}]}]})",
       "element 1: question q7: the key"},
      {R"({"data": [{"paragraphs": [{"qas": [{"id": "q7", "question": "", "answers": []}]}]}]})",
       "question q7: the key 'context'"},
      {R"({"data": [{"paragraphs": [{"context": "c"}]}]})", "the key 'qas' is missing"},
      {R"({"data": [{"paragraphs": {"context": "c"}}]})", "'paragraphs' is of type object"},
      {R"({"data": [3]})", "a JSON number"},
      {R"({"data": [{"title": "t"}]})", "without 'paragraphs'"},
      {R"({"data": []})", "no questions"},
      {R"({"data": [{"paragraphs": [{"context": "c", "qas": [{"id": "q)", "end of a string"},
      {R"({"data": [{"paragraphs": [)", "not the end of the file"},
      {R"({"data": [{"paragraphs": []} {"paragraphs": []}]})", "expected ',' or ']'"},
      {R"({"data": [{"paragraphs": [}]})", "element 1: not valid JSON"},
      {R"({"data": [{"paragraphs": []}])", "expected '}'"},
      {"text,label\n", "expected '['"},
      {R"({"question": "q" "context": "c"})", "expected ','"},
      {"{\"question\": \"q\", \"context\": \"\xff\", \"answers\": []}", "UTF-8"},
  };
  for (const auto& [bytes, says] : cases) {
    const std::string what = error(bytes);
    EXPECT_NE(what.find(says), std::string::npos) << bytes << ": " << what;
    EXPECT_EQ(what.find("q.json") == std::string::npos, false) << what;
  }
  EXPECT_EQ(error(kSquad), "");
  for (size_t size = 1; size < std::string_view(kSquad).size(); ++size)
    EXPECT_NE(error(std::string_view(kSquad).substr(0, size)), "") << "cut at " << size;
}

TEST_F(QuestionFile, PreparedWindowsPointBackIntoTheText) {
  const std::string context = "é " + words(40) + "was";
  ASSERT_EQ(prepare_error(row("a", context, "film", 2) + row("b", context, "", -1) + row("c", "good was", "was", 5)), "");
  const auto dataset = Dataset::open(folder_ / "data.h5");
  const auto split = dataset->split("train");
  ASSERT_EQ(split->num_questions(), 3);
  EXPECT_EQ(split->question(0).id, "a");
  EXPECT_EQ(split->question(0).context, context);
  EXPECT_EQ(split->question(1).context, context);
  EXPECT_EQ(split->question(0).answers, std::vector<std::string>{"film"});
  EXPECT_EQ(split->question(1).answers, std::vector<std::string>{});
  EXPECT_EQ(split->question(2).context, "good was");
  Batch batch;
  // 42 tokens in windows of 19 (24 less [CLS] which film [SEP] [SEP]) that share 4: 0-19, 15-34, 30-42.
  ASSERT_EQ(split->size(), 7);
  split->read(std::vector<int64_t>{0, 1, 3, 6}, batch);
  EXPECT_EQ(batch.labels, (std::vector<int32_t>{5, 5, 0, 0, 0, 0, 6, 5}))
      << "the reference's oddity: [SEP] where the last token begins";
  EXPECT_EQ(split->question_of(2), 0);
  EXPECT_EQ(split->question_of(3), 1);
  EXPECT_EQ(split->question_of(6), 2);
  const auto offsets = split->token_offsets(1);
  EXPECT_EQ(offsets.front(), (std::array<int32_t, 2>{0, 0}));
  const auto [begin, end] = offsets[4];
  EXPECT_EQ(slice_code_points(context, begin, end), "film");
  EXPECT_EQ(begin, 2 + 14 * 5);
  EXPECT_EQ(report_.splits[0].rows, 3);
  EXPECT_EQ(report_.splits[0].samples, 7);
  EXPECT_EQ(report_.splits[0].unanswerable, 1);
  EXPECT_EQ(report_.splits[0].misaligned + report_.splits[0].unreached + report_.splits[0].unlabelled, 0);
}

TEST_F(QuestionFile, OddAnswersAreCountedAndSaid) {
  const std::string context = words(40);
  ASSERT_EQ(prepare_error(row("aligned", context, "film", 0) + row("shifted", context, "film", 1) +
                          row("outside", context, "film", 5000) + row("long", context, context.substr(0, 150), 0) +
                          row("nothing", context, "", 3) + row("no context", "", "film", 0)),
            "");
  const SplitReport& split = report_.splits[0];
  EXPECT_EQ(split.misaligned, 3) << "shifted, outside, no context";
  EXPECT_EQ(split.unreached, 4) << "outside, long, nothing, no context";
  EXPECT_EQ(split.empty, 1);
  const std::string text = describe(report_);
  EXPECT_NE(text.find("3 answers do not stand where their answer_start says"), std::string::npos) << text;
  EXPECT_NE(text.find("4 answers are empty or fit into no window"), std::string::npos) << text;
}

TEST_F(QuestionFile, AQuestionThatLeavesNoRoomIsAnError) {
  std::string error = prepare_error(row("tight", words(40), "film", 0), 9, 4);
  EXPECT_NE(error.find("train.jsonl: row 1: question tight: its first text has 2 tokens"), std::string::npos) << error;
  EXPECT_NE(error.find("has room for 4 tokens"), std::string::npos) << error;
  EXPECT_EQ(prepare_error(row("fits", "good film", "film", 5), 9, 4), "");
  error = prepare_error(row("twice", "good film", "film", 5) + row("twice", "good film", "film", 5));
  EXPECT_NE(error.find("question twice stands there twice"), std::string::npos) << error;
}

TEST(QuestionStore, GivesBackWhatWasWritten) {
  const TempDir folder;
  write_dataset(folder / "data.h5", TaskKind::kQuestionAnswering, 20000);
  const auto split = Dataset::open(folder / "data.h5")->split("train");
  ASSERT_EQ(split->num_questions(), 10000);
  for (int64_t e : {0, 1, 2, 3, 5000, 9999}) {
    const Question expected = made_up_question(e), question = split->question(e);
    EXPECT_EQ(question.id, expected.id);
    EXPECT_EQ(question.context, expected.context);
    EXPECT_EQ(question.answers, expected.answers);
  }
  for (int64_t i : {0, 1, 777, 19999}) {
    EXPECT_EQ(split->question_of(i), i / 2);
    EXPECT_EQ(split->token_offsets(i), made_up_sample(i, LabelShape::kSpan, 1000, 3).offsets);
  }
  write_dataset(folder / "other.h5", TaskKind::kSequenceClassification, 10);
  EXPECT_EQ(Dataset::open(folder / "other.h5")->split("train")->num_questions(), 0);
}

TEST(QuestionStore, ValuesThatCannotBeAreRefused) {
  const TempDir folder;
  const Question good{.id = "q", .context = "c", .answers = {}};
  Sample sample = made_up_sample(0, LabelShape::kSpan, 1000, 3), backward = sample, negative = sample, unlabelled = sample,
         half = sample;
  backward.offsets[1] = {5, 4};
  negative.offsets[0] = {-1, 4};
  unlabelled.labels = {kIgnoreIndex, kIgnoreIndex};
  half.labels = {kIgnoreIndex, 1};
  const struct {
    const char* name;
    std::vector<Question> questions;
    Sample sample;
    const char* says;
  } cases[] = {
      {"good", {good}, sample, ""},
      {"unlabelled", {good}, unlabelled, ""},
      {"half", {good}, half, "half: train: sample 0: the answer's tokens are -100 to 1, one of which is none"},
      {"backward", {good}, backward, "token 1 claims the code points 5 to 4"},
      {"negative", {good}, negative, "token 0 claims the code points -1 to 4"},
      {"no sample", {good, good}, sample, "question 0 has no samples"},
      {"not UTF-8", {{.id = "q", .context = "\xff", .answers = {}}}, sample, "not UTF-8"},
  };
  for (const auto& [name, questions, one, says] : cases) {
    DatasetWriter writer(folder / name, TaskKind::kQuestionAnswering, 1000, 0);
    writer.add_split("train");
    for (const Question& question : questions) writer.append(0, question);
    writer.append(0, one);
    writer.commit(made_up_info(TaskKind::kQuestionAnswering, 1000, 0));
    const std::string error = error_of([&] {
      const auto split = Dataset::open(folder / name)->split("train");
      Batch batch;
      split->read(std::vector<int64_t>{0}, batch);
      split->question(split->question_of(0));
      split->token_offsets(0);
    });
    EXPECT_NE(error.find(says), std::string::npos) << name << ": " << error;
    EXPECT_EQ(error.empty(), std::string_view(says).empty()) << name << ": " << error;
  }
}

TEST(QuestionStore, AFlippedBitIsFoundOrHarmless) {
  const TempDir folder;
  const auto path = folder / "data.h5";
  write_dataset(path, TaskKind::kQuestionAnswering, 20);
  const auto content = [&] {
    const auto split = Dataset::open(path)->split("train");
    std::vector<std::string> texts;
    std::vector<std::array<int32_t, 2>> offsets;
    for (int64_t e = 0; e < split->num_questions(); ++e) {
      const Question question = split->question(e);
      texts.insert(texts.end(), {question.id, question.context});
      texts.insert(texts.end(), question.answers.begin(), question.answers.end());
    }
    for (int64_t i = 0; i < split->size(); ++i)
      for (const auto& range : split->token_offsets(i)) offsets.push_back(range);
    return std::pair(texts, offsets);
  };
  const auto good = content();
  int found = 0;
  for (uint64_t byte = 0; byte < std::filesystem::file_size(path); byte += 997) {
    flip_bit(path, byte, static_cast<int>(byte % 8));
    decltype(content()) read;
    const std::string error = error_of([&] { read = content(); });
    EXPECT_TRUE(!error.empty() || read == good) << "byte " << byte << " changed the data unnoticed";
    found += !error.empty();
    flip_bit(path, byte, static_cast<int>(byte % 8));
  }
  EXPECT_GT(found, 5);
}

}  // namespace
}  // namespace berth::data
