#include "data/prepare/prepare.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "data/features/features.h"
#include "data/store/dataset.h"
#include "tests/data/prepare_fixture.h"

namespace berth::data {
namespace {

using namespace testing;

TEST_F(PrepareTest, TextsBecomeSamples) {
  const auto report = prepare(options("text,label\nthe film,pos\n\"good\nfilms\",neg\n,pos\n"));
  const Batch batch = read("train");
  EXPECT_EQ(batch.input_ids, (std::vector<int32_t>{2, 8, 7, 3, 2, 5, 7, 10, 3, 2, 3}));
  EXPECT_EQ(batch.cu_seqlens, (std::vector<int32_t>{0, 4, 9, 11}));
  EXPECT_EQ(batch.labels, (std::vector<int32_t>{1, 0, 1}));
  EXPECT_EQ(rows_, (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(report.label_names, (std::vector<std::string>{"neg", "pos"}));
  ASSERT_EQ(report.splits.size(), 1u);
  const SplitReport& split = report.splits[0];
  EXPECT_EQ(split.columns, "text: text, label: label (guessed)");
  EXPECT_EQ(std::tuple(split.rows, split.samples, split.tokens, split.truncated(), split.empty, split.unlabelled),
            std::tuple(3, 3, 11, 0, 1, 0));
  EXPECT_EQ(split.label_counts, (std::map<std::string, int64_t>{{"neg", 1}, {"pos", 2}}));
  EXPECT_EQ(split.lengths[4], 1);
  const auto dataset = Dataset::open(folder_ / "data.h5");
  EXPECT_EQ(dataset->info().vocab_size, 12);
  EXPECT_EQ(dataset->info().max_length, 128);
  EXPECT_EQ(dataset->info().source_sha256.size(), 1u);
  EXPECT_NE(describe(report).find("labels   neg 1, pos 2"), std::string::npos) << describe(report);
}

TEST_F(PrepareTest, PairsAndIntegerLabels) {
  auto with = options("sentence1\tsentence2\tlabel\nthe film\tgood\t10\nbad\t\t9\n", "train.tsv");
  prepare(with);
  const Batch batch = read("train");
  EXPECT_EQ(batch.input_ids, (std::vector<int32_t>{2, 8, 7, 3, 5, 3, 2, 6, 3, 3}));
  EXPECT_EQ(batch.token_type_ids, (std::vector<int32_t>{0, 0, 0, 0, 1, 1, 0, 0, 0, 1}));
  EXPECT_EQ(batch.labels, (std::vector<int32_t>{1, 0}));
}

TEST_F(PrepareTest, RegressionAndMultiLabel) {
  auto with = options("text,score\nfilm,4.5\nbad,-1\n");
  with.task = "regression";
  prepare(with);
  EXPECT_EQ(read("train").float_labels, (std::vector<float>{4.5f, -1.f}));

  with = options(
      "{\"text\":\"film\",\"labels\":[\"b\",\"a\"]}\n{\"text\":\"bad\",\"labels\":[]}\n{\"text\":\"bad\",\"labels\":\"b\"}\n",
      "train.jsonl");
  with.task = "multi-label";
  EXPECT_EQ(prepare(with).label_names, (std::vector<std::string>{"a", "b"}));
}

TEST_F(PrepareTest, WordsAndTags) {
  auto with = options("films B-X\nwas O\ngoods B-Y\n\nthe I-X\n", "train.txt");
  with.task = "ner";
  EXPECT_EQ(prepare(with).label_names, (std::vector<std::string>{"B-X", "B-Y", "I-X", "O"}));
  const Batch first = read("train");
  EXPECT_EQ(first.input_ids, (std::vector<int32_t>{2, 7, 10, 9, 5, 10, 3, 2, 8, 3}));
  EXPECT_EQ(first.labels, (std::vector<int32_t>{-100, 0, -100, 3, 1, -100, -100, -100, 2, -100}));
  with.label_all_tokens = true;
  with.max_length = 6;
  EXPECT_EQ(prepare(with).splits[0].truncated(), 1);
  EXPECT_EQ(Dataset::open(with.output)->info().truncated.at("train"), 1);
  const Batch all = read("train");
  EXPECT_EQ(all.labels, (std::vector<int32_t>{-100, 0, 2, 3, 1, -100, -100, 2, -100}));
}

TEST_F(PrepareTest, TextsAreNormalisedIfAskedFor) {
  const char* csv = "text,label\n\"good<br />film\",a\n<p>,b\n";
  auto with = options(csv);
  prepare(with);
  EXPECT_FALSE(Dataset::open(with.output)->info().normalize.any());
  EXPECT_EQ(read("train").cu_seqlens, (std::vector<int32_t>{0, 8, 13}));
  with.normalize = NormalizeOptions::parse("whitespace,html");
  EXPECT_EQ(prepare(with).splits[0].empty, 1);
  EXPECT_EQ(read("train").input_ids, (std::vector<int32_t>{2, 5, 7, 3, 2, 3}));
  EXPECT_EQ(Dataset::open(with.output)->info().normalize.names(), "html,whitespace");
}

TEST_F(PrepareTest, LowerCasingIsAsAskedElseAsTheTokenizerSays) {
  auto with = options("text,label\nGood film,a\nbad,b\n");
  const auto first_ids = [&] {
    prepare(with);
    return std::vector<int32_t>(read("train").input_ids).at(1);
  };
  const auto recorded = [&] { return Dataset::open(with.output)->info().do_lower_case; };
  EXPECT_EQ(first_ids(), 5);
  EXPECT_EQ(recorded(), true) << "a bare vocabulary is one of lower-cased words";
  with.do_lower_case = false;
  EXPECT_EQ(first_ids(), 1);
  EXPECT_EQ(recorded(), false);
  write_bytes(folder_ / "tokenizer_config.json", "{\"do_lower_case\": false}");
  with.do_lower_case.reset();
  EXPECT_EQ(first_ids(), 1);
  with.do_lower_case = true;
  EXPECT_EQ(first_ids(), 5);
}

TEST_F(PrepareTest, BothTextsOfAPairAreNormalised) {
  auto with = options("sentence1,sentence2,label\nthe<br>,<i>film,x\n&#103;ood,bad,y\n");
  with.normalize.html = true;
  prepare(with);
  EXPECT_EQ(read("train").input_ids, (std::vector<int32_t>{2, 8, 3, 7, 3, 2, 5, 3, 6, 3}));
}

TEST_F(PrepareTest, LongTextsAreCutAndCounted) {
  auto with = options("text,label\nthe film was good,a\nbad,b\n");
  with.max_length = 5;
  const auto report = prepare(with);
  EXPECT_EQ(read("train").cu_seqlens, (std::vector<int32_t>{0, 5, 8}));
  EXPECT_EQ(report.splits[0].truncated(), 1);
  EXPECT_EQ(report.splits[0].lengths, (std::vector<int64_t>{0, 0, 0, 1, 0, 1}));
}

TEST_F(PrepareTest, LongTextsBecomeWindowsOfOneSample) {
  auto with = options("text,label\nthe film was good,a\nbad,b\n");
  with.max_length = 5;
  with.doc_stride = 1;
  const SplitReport report = prepare(with).splits[0];
  const Batch batch = read("train");
  EXPECT_EQ(batch.cu_samples, (std::vector<int32_t>{0, 2, 3}));
  EXPECT_EQ(batch.sequence_ids, (std::vector<int64_t>{0, 1, 2}));
  EXPECT_EQ(batch.input_ids, (std::vector<int32_t>{2, 8, 7, 9, 3, 2, 9, 5, 3, 2, 6, 3}));
  EXPECT_EQ(batch.token_type_ids, std::vector<int32_t>(12, 0));
  EXPECT_EQ(batch.labels, (std::vector<int32_t>{0, 1}));
  EXPECT_EQ(Dataset::open(with.output)->info().doc_stride, 1);
  EXPECT_EQ(report.samples, 2);
  EXPECT_EQ(report.sequences, 3);
  EXPECT_EQ(report.windowed, 1);
  EXPECT_EQ(report.most_windows, 2);
  EXPECT_EQ(report.truncated(), 0);
  EXPECT_EQ(report.lengths, (std::vector<int64_t>{0, 0, 0, 1, 1, 1}));
}

// As run_qa does: each window has the whole first text.
TEST_F(PrepareTest, OfAPairTheSecondTextBecomesWindows) {
  auto with = options("sentence1,sentence2,label\nbad,the film was good,a\nbad,good,b\n");
  with.max_length = 6;
  with.doc_stride = 0;
  prepare(with);
  const Batch batch = read("train");
  EXPECT_EQ(batch.cu_samples, (std::vector<int32_t>{0, 2, 3}));
  EXPECT_EQ(batch.input_ids, (std::vector<int32_t>{2, 6, 3, 8, 7, 3, 2, 6, 3, 9, 5, 3, 2, 6, 3, 5, 3}));
  EXPECT_EQ(batch.token_type_ids, (std::vector<int32_t>{0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1}));
  with.train_file = write_bytes(folder_ / "long.csv", "sentence1,sentence2,label\nbad,good,a\nbad bad bad bad,good,b\n");
  const std::string error = error_of([&] { prepare(with); });
  EXPECT_NE(error.find("long.csv: row 2: its first text has 4 tokens"), std::string::npos) << error;
}

TEST_F(PrepareTest, WindowsThatMakeNoSenseAreRefused) {
  const auto error_with = [&](const char* task, int stride) {
    auto with = options("text,label\nthe film was good,1\nbad,2\n");
    with.task = task;
    with.max_length = 5;
    with.doc_stride = stride;
    return error_of([&] { prepare(with); });
  };
  EXPECT_EQ(error_with("regression", 2), "");
  EXPECT_NE(error_with("regression", 3).find("share at least 0 and less than the 3 tokens"), std::string::npos);
  EXPECT_NE(error_with("classification", -1).find("got -1"), std::string::npos);
  EXPECT_NE(error_with("masked-lm", 2).find("--doc-stride is not for the task masked-lm"), std::string::npos);
}

TEST_F(PrepareTest, ATextOfTooManyWindowsIsRefused) {
  std::string text;
  for (int i = 0; i < 1025; ++i) text += "the film was ";
  auto with = options("text,label\nbad,a\n" + text + ",b\n");
  with.max_length = 5;
  with.doc_stride = 0;
  const std::string error = error_of([&] { prepare(with); });
  EXPECT_NE(error.find("row 2: the text makes 1025 windows of 5 tokens, at most 1024"), std::string::npos) << error;
}

// As run_swag: the text with each choice, which stands behind what they all begin with.
TEST_F(PrepareTest, ChoicesAreSequencesOfOneSample) {
  auto with =
      options(",sent1,sent2,ending0,ending1,ending2,label\n0,the film,was,good,bad,films,1\n1,bad film,the,good,not,,B\n");
  with.task = "multiple-choice";
  EXPECT_EQ(prepare(with).splits[0].columns,
            "text: sent1, pair: sent2, choices: ending0 + ending1 + ending2, label: label (guessed)");
  const Batch batch = read("train");
  EXPECT_EQ(batch.cu_samples, (std::vector<int32_t>{0, 3, 5}));
  EXPECT_EQ(batch.input_ids, (std::vector<int32_t>{2, 8, 7, 3, 9, 5, 3, 2, 8, 7, 3, 9, 6,  3, 2, 8, 7, 3, 9, 7, 10, 3,  //
                                                   2, 6, 7, 3, 8, 5, 3, 2, 6, 7, 3, 8, 11, 3}));
  EXPECT_EQ(std::vector<int32_t>(batch.token_type_ids.begin(), batch.token_type_ids.begin() + 7),
            (std::vector<int32_t>{0, 0, 0, 0, 1, 1, 1}));
  EXPECT_EQ(batch.labels, (std::vector<int32_t>{1, 1}));
}

TEST_F(PrepareTest, ChoicesComeFromLists) {
  for (const char* row : {R"({"context": "the film", "question": "was", "choices": ["good", "bad"], "answer": "B"})",
                          R"({"context": "the film", "question": "was", "endings": ["good", "bad"], "label": 1})",
                          R"({"context": "the film", "question": "was", "answerKey": "7",
                              "choices": {"text": ["good", "bad"], "label": ["3", "7"]}})"}) {
    std::string line = row;
    std::erase(line, '\n');
    auto with = options(line + "\n", "train.jsonl");
    with.task = "multiple-choice";
    prepare(with);
    const Batch batch = read("train");
    EXPECT_EQ(batch.input_ids, (std::vector<int32_t>{2, 8, 7, 3, 9, 5, 3, 2, 8, 7, 3, 9, 6, 3})) << row;
    EXPECT_EQ(batch.labels, (std::vector<int32_t>{1})) << row;
  }
}

TEST_F(PrepareTest, ChoicesThatMakeNoSenseAreRefused) {
  const auto error_of_row = [&](const std::string& row) {
    auto with = options(row + "\n", "train.jsonl");
    with.task = "multiple-choice";
    return error_of([&] { prepare(with); });
  };
  for (const auto& [row, says] :
       {std::pair(R"({"question": "the", "choices": ["good"], "label": 0})", "needs at least two choices"),
        std::pair(R"({"question": "the", "choices": ["good", "bad"], "label": 2})", "the label '2' is none of the 2 choices"),
        std::pair(R"({"question": "the", "choices": ["good", "bad"], "label": -1})", "the label '-1' is none"),
        std::pair(R"({"question": "the", "choices": ["good", "bad"], "label": "C"})", "the label 'C' is none"),
        std::pair(R"({"question": "the", "choices": ["good", "bad"], "label": [0, 1]})", "the row has 2 labels"),
        std::pair(R"({"question": "the", "choices": {"text": ["good", "bad"], "label": ["x", "y"]}, "label": "z"})",
                  "none of the choices' names, which are x, y"),
        std::pair(R"({"question": "the", "choices": 3, "label": 0})", "'choices' is of type number, expected a list"),
        std::pair(R"({"question": "the", "label": 0})", "no columns with usual names for the choices")}) {
    EXPECT_NE(error_of_row(row).find(says), std::string::npos) << row << ": " << error_of_row(row);
  }
}

TEST_F(PrepareTest, NextSentencesAreLabelledAsTransformersCountsThem) {
  auto with = options("sentence1,sentence2,label\nthe film,was good,0\nbad,film,NotNext\n");
  with.task = "nsp";
  prepare(with);
  const Batch batch = read("train");
  EXPECT_EQ(batch.input_ids, (std::vector<int32_t>{2, 8, 7, 3, 9, 5, 3, 2, 6, 3, 7, 3}));
  EXPECT_EQ(batch.labels, (std::vector<int32_t>{0, 1}));
  write_bytes(with.train_file, "sentence1,sentence2,label\nthe film,was good,yes\n");
  EXPECT_NE(error_of([&] { prepare(with); }).find("'yes' is neither 0 (IsNext"), std::string::npos);
  write_bytes(with.train_file, "text,label\nthe film,1\n");
  EXPECT_NE(error_of([&] { prepare(with); }).find("is about two texts"), std::string::npos);
}

TEST_F(PrepareTest, TheTestSplitNeedsNoLabels) {
  auto with = options("text,label\na,x\nb,y\n");
  with.test_file = write_bytes(folder_ / "test.csv", "text\nfilm\n");
  EXPECT_EQ(prepare(with).splits[1].unlabelled, 1);
  EXPECT_EQ(read("test").labels, std::vector<int32_t>{kIgnoreIndex});
  with.test_file = write_bytes(folder_ / "secret.csv", "text,label\nfilm,-1\ngood,y\n");
  prepare(with);
  EXPECT_EQ(read("test").labels, (std::vector<int32_t>{kIgnoreIndex, 1}));
}

TEST_F(PrepareTest, OtherFilesMayCallTheirColumnsOtherwise) {
  auto with = options("opinion,stars\nbad,x\ngood,y\n");
  with.reader.columns = {.text = "opinion", .label = "stars"};
  with.validation_file = write_bytes(folder_ / "dev.csv", "stars,head,body\ny,the,film\n");
  with.validation_columns = {"text=head", "text=body"};
  with.test_file = write_bytes(folder_ / "test.jsonl", R"({"said": "film", "class": "x"})");
  EXPECT_NE(error_of([&] { prepare(with); }).find("test.jsonl: there is no column"), std::string::npos);
  with.test_columns = {"text=saying", "label=class"};
  EXPECT_NE(error_of([&] { prepare(with); }).find("there is no column 'saying' (--…-column-names)"), std::string::npos);
  with.test_columns = {"text=said", "label=class"};
  prepare(with);
  EXPECT_EQ(read("validation").input_ids, (std::vector<int32_t>{2, 8, 7, 3}));
  EXPECT_EQ(read("test").input_ids, (std::vector<int32_t>{2, 7, 3}));
  EXPECT_EQ(read("test").labels, std::vector<int32_t>{0});
  with.test_file.clear();
  EXPECT_NE(error_of([&] { prepare(with); }).find("--test-column-names: there is no file"), std::string::npos);
}

TEST_F(PrepareTest, TheValidationSplitIsStratifiedAndDisjoint) {
  auto with = options(many_rows(300));
  with.validation_split = .2;
  const auto report = prepare(with);
  ASSERT_EQ(report.splits.size(), 2u);
  EXPECT_EQ(report.splits[0].label_counts, (std::map<std::string, int64_t>{{"bad", 80}, {"good", 160}}));
  EXPECT_EQ(report.splits[1].label_counts, (std::map<std::string, int64_t>{{"bad", 20}, {"good", 40}}));
  std::set<int64_t> rows;
  read("train");
  rows.insert(rows_.begin(), rows_.end());
  read("validation");
  rows.insert(rows_.begin(), rows_.end());
  EXPECT_EQ(rows.size(), 300u);
  const std::vector<int64_t> chosen = rows_;
  prepare(with);
  read("validation");
  EXPECT_EQ(rows_, chosen);
  with.seed = 43;
  prepare(with);
  read("validation");
  EXPECT_NE(rows_, chosen);
}

TEST_F(PrepareTest, MaxSamplesTakesTheFirstRowsOfEachSplit) {
  auto with = options(many_rows(600));
  with.validation_file = write_bytes(folder_ / "dev.csv", many_rows(50));
  with.test_file = write_bytes(folder_ / "test.csv", many_rows(50));
  with.max_train_samples = 300;
  with.max_eval_samples = 7;
  with.max_predict_samples = 1;
  const auto report = prepare(with);
  EXPECT_EQ(report.splits[0].rows, 300);
  EXPECT_EQ(report.splits[1].rows, 7);
  EXPECT_EQ(report.splits[2].rows, 1);
  read("train");
  EXPECT_EQ(rows_.back(), 300);
}

TEST_F(PrepareTest, LabelNamesCanBeGivenInOrder) {
  auto with = options("text,label\nfilm,pos\nbad,neg\n");
  with.label_names = {"pos", "other", "neg"};
  prepare(with);
  EXPECT_EQ(read("train").labels, (std::vector<int32_t>{0, 2}));
  with.train_file.clear();
  with.validation_file = write_bytes(folder_ / "dev.csv", "text,label\nfilm,neg\n");
  prepare(with);
  EXPECT_EQ(read("validation").labels, std::vector<int32_t>{2});
}

TEST_F(PrepareTest, SaysWhatIsWrongAndLeavesNothing) {
  const struct {
    const char *name, *train, *dev, *says;
  } cases[] = {
      {"empty", "", "", "train.csv: the file is empty"},
      {"header only", "text,label\n", "", "a header and no rows"},
      {"one class", "text,label\na,x\nb,x\n", "", "all rows have the same label 'x'"},
      {"unknown label", "text,label\na,x\nb,y\n", "text,label\na,x\n\"b\nc\",z\n",
       "dev.csv: row 2: unknown label 'z'; the 2 labels are: x, y"},
      {"no label", "text,label\na,x\nb,y\n", "text\na\n", "no column with a usual name for the label"},
      {"bad UTF-8", "text,label\na,x\nb,y\n\xC3(,y\n", "", "row 3 (line 4): column 'text': byte 1"},
      {"empty dev", "text,label\na,x\nb,y\n", "text,label\n", "there are no rows for the validation split"},
      {"pair", "text,label\na,x\nb,y\n", "sentence1,sentence2,label\na,b,x\n", "pairs"},
  };
  for (const auto& [name, train, dev, says] : cases) {
    auto with = options(train);
    if (*dev != '\0') with.validation_file = write_bytes(folder_ / "dev.csv", dev);
    const std::string error = error_of([&] { prepare(with); });
    EXPECT_NE(error.find(says), std::string::npos) << name << ": " << error;
    std::filesystem::remove(folder_ / "dev.csv");
    EXPECT_EQ(files(), (std::set<std::string>{"train.csv", "vocab.txt"})) << name;
  }
}

TEST_F(PrepareTest, AFileOfSeveralLabelsNeedsOneLabelAtLeast) {
  auto with = options("text,labels\na,\nb,\n");
  with.task = "multi-label";
  const std::string error = error_of([&] { prepare(with); });
  EXPECT_NE(error.find("train.csv: no row has a label; is this the right column?"), std::string::npos) << error;
}

TEST_F(PrepareTest, RefusesOptionsThatMakeNoSense) {
  const auto error_with = [&](auto change) {
    auto with = options("text,label\na,x\nb,y\n");
    change(with);
    return error_of([&] { prepare(with); });
  };
  EXPECT_NE(error_with([](auto& with) { with.train_file.clear(); }).find("nothing to prepare"), std::string::npos);
  EXPECT_NE(error_with([](auto& with) { with.validation_split = 1; }).find("--validation-split must lie in"), std::string::npos);
  EXPECT_NE(error_with([](auto& with) { with.tokenizer.clear(); }).find("tokenizer"), std::string::npos);
  EXPECT_NE(error_with([](auto& with) { with.output = with.train_file; }).find("would replace the input"), std::string::npos);
  EXPECT_NE(error_with([](auto& with) { with.output = "/nowhere/data.h5"; }).find("folder does not exist"), std::string::npos);
  EXPECT_NE(error_with([](auto& with) { with.max_length = 2; }).find("maximum length"), std::string::npos);
  for (const char* task : {"ner", "qa"}) {
    const std::string error = error_with([&](auto& with) {
      with.task = task;
      with.normalize.html = true;
    });
    EXPECT_NE(error.find("cannot be prepared with normalisation"), std::string::npos) << error;
  }
  const std::string names = error_with([](auto& with) {
    with.task = "regression";
    with.label_names = {"x", "y"};
  });
  EXPECT_NE(names.find("--label-names is for tasks with classes, not for regression"), std::string::npos) << names;
  EXPECT_NE(error_with([](auto& with) { with.task = "sorting"; }).find("unknown task"), std::string::npos);
}

TEST_F(PrepareTest, NewTextsBecomeABatchAsTheStoreHasThem) {
  prepare(options("sentence1,sentence2,label\nthe film,good,x\nbad,not good,y\n"));
  const Batch stored = read("train");
  const BertTokenizer tokenizer = BertTokenizer::load(folder_ / "vocab.txt");
  const auto features = make_features(TaskKind::kSequenceClassification, tokenizer, {.label_names = {"x", "y"}});
  const auto reader = open_reader(folder_ / "train.csv", {.need_label = false});
  std::vector<Record> records(2);
  for (Record& record : records) ASSERT_TRUE(reader->next(record));
  std::vector<Sample> samples;
  for (const Record& record : records) features->make(record, samples);
  const Batch batch = make_batch(samples, 100);
  EXPECT_EQ(batch.input_ids, stored.input_ids);
  EXPECT_EQ(batch.token_type_ids, stored.token_type_ids);
  EXPECT_EQ(batch.sample_ids, (std::vector<int64_t>{100, 101}));
  EXPECT_EQ(batch.labels, stored.labels);
  EXPECT_TRUE(samples[0].offsets.empty());
}

TEST_F(PrepareTest, OffsetsCountCodePointsOfTheTextThatATokenIsFrom) {
  options("text,label\nfilm,1\n");
  const BertTokenizer tokenizer = BertTokenizer::load(folder_ / "vocab.txt");
  const auto features = make_features(TaskKind::kRegression, tokenizer, {.offsets = true});
  Record record;
  record.text = "é€ film";
  record.text_pair = "𝄞 good";
  record.has_pair = true;
  std::vector<Sample> samples;
  features->make(record, samples);
  using Offsets = std::vector<std::array<int32_t, 2>>;
  EXPECT_EQ(samples[0].offsets, (Offsets{{0, 0}, {0, 2}, {3, 7}, {0, 0}, {0, 1}, {2, 6}, {0, 0}}));
}

}  // namespace
}  // namespace berth::data
