// Cross-validation: how the training split is cut into folds, what the file says of them, and what a run on one of them reads.
#include "data/store/folds.h"

#include <gtest/gtest.h>
#include <hdf5.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <thread>

#include "data/prepare/stratified_split.h"
#include "tests/data/prepare_fixture.h"

// HDF5 does not free all of what it read of a damaged file. LeakSanitizer asks this function what to overlook.
extern "C" const char* __lsan_default_suppressions() { return "leak:libhdf5"; }

namespace berth::data {
namespace {

using namespace testing;

constexpr int kFolds = 4;

Batch read_all(const Split& split) {
  Batch batch;
  split.read(all(split), batch);
  return batch;
}

void expect_equal(const Split& split, const Split& expected) {
  const Batch a = read_all(split), b = read_all(expected);
  EXPECT_EQ(a.sample_ids, b.sample_ids);
  EXPECT_EQ(a.cu_samples, b.cu_samples);
  EXPECT_EQ(a.sequence_ids, b.sequence_ids);
  EXPECT_EQ(a.cu_seqlens, b.cu_seqlens);
  EXPECT_EQ(a.input_ids, b.input_ids);
  EXPECT_EQ(a.token_type_ids, b.token_type_ids);
  EXPECT_EQ(a.labels, b.labels);
  EXPECT_EQ(a.float_labels, b.float_labels);
  EXPECT_TRUE(std::equal(split.lengths().begin(), split.lengths().end(), expected.lengths().begin(), expected.lengths().end()));
  ASSERT_EQ(split.num_questions(), expected.num_questions());
  for (int64_t i = 0; split.num_questions() > 0 && i < split.size(); ++i) {
    EXPECT_EQ(split.question_of(i), expected.question_of(i));
    EXPECT_EQ(split.token_offsets(i), expected.token_offsets(i));
  }
  for (int64_t q = 0; q < split.num_questions(); ++q) {
    EXPECT_EQ(split.question(q).id, expected.question(q).id);
    EXPECT_EQ(split.question(q).context, expected.question(q).context);
    EXPECT_EQ(split.question(q).answers, expected.question(q).answers);
  }
}

TEST(StratifiedFolds, HaveAsManyRowsOfEachClassAsScikitLearns) {
  std::ifstream in(std::string(BERTH_SOURCE_DIR) + "/tests/golden/folds.json");
  const auto cases = nlohmann::json::parse(in);
  ASSERT_GE(cases.size(), 10u);
  for (const auto& expected : cases) {
    const int folds = expected["folds"];
    const auto counts = expected["counts"].get<std::vector<int64_t>>();
    LabelCounts labels;
    for (size_t c = 0; c < counts.size(); ++c) labels[concat("class ", c)] = counts[c];
    StratifiedFolds cut(labels, folds, 42), again(labels, folds, 42), other(labels, folds, 43);
    std::vector<std::vector<int64_t>> rows(static_cast<size_t>(folds), std::vector<int64_t>(counts.size(), 0));
    int64_t differ = 0;
    for (size_t c = 0; c < counts.size(); ++c)
      for (int64_t row = 0; row < counts[c]; ++row) {
        const std::string label = concat("class ", c);
        const int fold = cut.fold_of(label);
        EXPECT_EQ(again.fold_of(label), fold);
        differ += other.fold_of(label) != fold;
        ++rows.at(static_cast<size_t>(fold))[c];
      }
    EXPECT_EQ(rows, expected["rows"].get<decltype(rows)>()) << expected["counts"] << ", " << folds << " folds";
    EXPECT_GT(differ, 0) << "another seed";
  }
}

TEST(StratifiedFolds, TooFewRowsAndAFileThatChangedAreErrors) {
  EXPECT_NE(error_of([] {
              StratifiedFolds({{"a", 2}, {"b", 1}}, 4, 42);
            }).find("--folds 4: there are only 3 rows"),
            std::string::npos);
  StratifiedFolds cut({{"a", 2}}, 2, 42);
  EXPECT_EQ(cut.fold_of("a") + cut.fold_of("a"), 1);
  EXPECT_NE(error_of([&] { cut.fold_of("a"); }), "");
}

class FoldsTest : public PrepareTest {
 protected:
  // The rows of the training file, below its head.
  struct Table {
    std::string name, head;
    std::vector<std::string> rows;
    std::string bytes(const std::vector<int64_t>& chosen) const {
      std::string text = head;
      for (const int64_t row : chosen) text += rows[static_cast<size_t>(row) - 1];
      return text;
    }
  };

  PrepareReport prepare_folds(PrepareOptions with, const std::string& bytes, const std::string& name = "train.csv") {
    with.train_file = write_bytes(folder_ / name, bytes);
    with.folds = kFolds;
    return prepare(with);
  }
  FoldSplits open(int fold) { return open_fold(*Dataset::open(folder_ / "data.h5"), fold); }

  // A fold is what two files with its rows and the others' would be prepared to.
  void expect_as_two_files(const PrepareOptions& with, const Table& table) {
    std::vector<int64_t> rows(table.rows.size());
    std::iota(rows.begin(), rows.end(), 1);
    prepare_folds(with, table.bytes(rows), table.name);
    std::vector<int64_t> seen;
    for (int fold = 0; fold < kFolds; ++fold) {
      const FoldSplits splits = open(fold);
      const auto rows_of = [](const Split& split) {
        std::vector<int64_t> own = split.rows(all(split));
        own.erase(std::unique(own.begin(), own.end()), own.end());
        return own;
      };
      const std::vector<int64_t> others = rows_of(*splits.others), own = rows_of(*splits.fold);
      EXPECT_EQ(others.size() + own.size(), rows.size());
      seen.insert(seen.end(), own.begin(), own.end());
      if (fold != 1) continue;
      PrepareOptions two = with;
      two.output = folder_ / "two.h5";
      two.train_file = write_bytes(folder_ / ("others_" + table.name), table.bytes(others));
      two.validation_file = write_bytes(folder_ / ("own_" + table.name), table.bytes(own));
      prepare(two);
      const auto expected = Dataset::open(two.output);
      EXPECT_EQ(expected->info().label_names, Dataset::open(folder_ / "data.h5")->info().label_names);
      expect_equal(*splits.others, *expected->split("train"));
      expect_equal(*splits.fold, *expected->split("validation"));
    }
    std::sort(seen.begin(), seen.end());
    EXPECT_EQ(seen, rows) << "each row is evaluated on once";
  }

  static Table reviews(int rows, const char* good = "good", const char* bad = "bad") {
    Table table{"train.csv", "text,label\n", {}};
    for (int i = 0; i < rows; ++i) {
      std::string text;
      for (int word = 0; word <= i * 7 % 23; ++word) text += word % 3 == 2 ? "films " : "the not ";
      table.rows.push_back(text + "," + (i % 3 == 0 ? bad : good) + "\n");
    }
    return table;
  }
};

TEST_F(FoldsTest, AreWhatTwoFilesWouldBePreparedTo) {
  expect_as_two_files(options(), reviews(59));
  PrepareOptions with = options();
  with.max_length = 12;
  with.doc_stride = 3;  // windows: sequences are numbered anew
  expect_as_two_files(with, reviews(30));
  with.task = "regression";
  expect_as_two_files(with, reviews(21, "0.5", "-1"));
  with = options();
  with.task = "multi-label";
  with.label_names = {"bad", "good"};
  expect_as_two_files(with, reviews(22, "good", "\"bad,good\""));
  with = options();
  with.task = "mlm";
  with.line_by_line = true;
  expect_as_two_files(with, reviews(19));
}

TEST_F(FoldsTest, OfWordsAndQuestionsAreWhatTwoFilesWouldBePreparedTo) {
  Table sentences{"train.jsonl", "", {}}, questions = sentences;
  for (int i = 0; i < 23; ++i) {
    std::string words = "\"the\"", tags = "\"O\"", context = "film was";
    for (int word = 0; word < i % 5; ++word) words += ", \"films\"", tags += i % 2 == 0 ? ", \"B-X\"" : ", \"O\"";
    for (int word = 0; word < i / 3 * 5 % 40; ++word) context += " the film";
    sentences.rows.push_back(concat("{\"tokens\": [", words, "], \"ner_tags\": [", tags, "]}\n"));
    questions.rows.push_back(concat("{\"id\": \"q", i, "\", \"question\": \"which film\", \"context\": \"", i / 3, " ", context,
                                    "\", \"answers\": {\"text\": [\"film\"], \"answer_start\": [2]}}\n"));
  }
  PrepareOptions with = options();
  with.task = "ner";
  with.label_names = {"B-X", "O"};
  expect_as_two_files(with, sentences);
  with = options();
  with.task = "qa";
  with.max_length = 24;
  with.doc_stride = 4;
  expect_as_two_files(with, questions);
  // The questions about one context, three each, are in one fold.
  const auto split = Dataset::open(folder_ / "data.h5")->split("train");
  std::map<std::string, std::set<int>> folds;
  for (int64_t i = 0; i < split->size(); ++i) folds[split->question(split->question_of(i)).context].insert(split->fold_of(i));
  EXPECT_EQ(folds.size(), 8u);
  for (const auto& [context, in] : folds) EXPECT_EQ(in.size(), 1u) << context;
}

TEST_F(FoldsTest, LabelsAloneAreThoseOfTheSamples) {
  prepare_folds(options(), many_rows(40));
  for (const auto& split : {open(1).others, open(2).fold}) {
    Batch batch;
    split->read_labels(3, split->size() - 2, batch);
    const std::vector<int32_t> labels = read_all(*split).labels;
    EXPECT_EQ(batch.labels, std::vector<int32_t>(labels.begin() + 3, labels.end() - 2));
  }
}

TEST_F(FoldsTest, TheFileDependsOnTheSeedNotOnTheThreads) {
  PrepareOptions with = options();
  const auto bytes = [&](int threads, uint64_t seed) {
    with.threads = threads;
    with.seed = seed;
    prepare_folds(with, many_rows(600));
    return read_bytes(with.output);
  };
  const auto info = [&] { return Dataset::open(with.output)->info(); };
  const std::string one = bytes(1, 42), cut = info().folds_sha256, content = info().content_sha256["train"];
  EXPECT_EQ(info().folds, kFolds);
  EXPECT_EQ(info().schema_version, 4);
  EXPECT_EQ(cut.size(), 64u);
  EXPECT_TRUE(bytes(5, 42) == one);
  bytes(1, 43);
  EXPECT_NE(info().folds_sha256, cut) << "another seed cuts otherwise";
  EXPECT_EQ(info().content_sha256["train"], content);
  with.train_file = folder_ / "train.csv";
  prepare(with);
  EXPECT_EQ(info().folds, 0);
  EXPECT_EQ(info().schema_version, 2);
  EXPECT_EQ(info().content_sha256["train"], content) << "the samples are the same without folds";
}

TEST_F(FoldsTest, OnlyTheFirstRowsAreCutWhereOnlyTheseAreRead) {
  PrepareOptions with = options();
  with.max_train_samples = 21;
  const PrepareReport report = prepare_folds(with, many_rows(100));
  EXPECT_EQ(report.splits[0].folds, (std::vector<int64_t>{6, 5, 5, 5}));
}

TEST_F(FoldsTest, ClassesWithFewerRowsThanFoldsAreNamed) {
  std::string csv = "text,label\n";
  for (int i = 0; i < 20; ++i) csv += i < 3 ? "the film,seldom\n" : "the film,often\n";
  const PrepareReport report = prepare_folds(options(), csv);
  EXPECT_EQ(report.rare_labels, std::vector<std::string>{"seldom"});
  const std::string text = describe(report);
  EXPECT_NE(text.find("  folds    4, of 5, 5, 5, 5 samples\n"), std::string::npos) << text;
  EXPECT_NE(text.find("warning  fewer rows than folds, so that some folds have none: seldom\n"), std::string::npos) << text;
  EXPECT_NE(error_of([&] { prepare_folds(options(), "text,label\nfilm,a\nfilm,b\nfilm,b\n"); }).find("only 3 rows"),
            std::string::npos);
}

// A copy is trained on where its row is, and never evaluated on.
TEST_F(FoldsTest, AugmentedCopiesAreInTheFoldOfTheirRow) {
  PrepareOptions with = options();
  with.augment = {.kinds = {AugmentKind::kDelete}, .copies = 2};
  const PrepareReport report = prepare_folds(with, many_rows(40));
  const auto whole = Dataset::open(with.output)->split("train");
  std::map<int64_t, std::set<int>> folds;
  for (int64_t i = 0; i < whole->size(); ++i) folds[whole->rows(std::span(&i, 1))[0]].insert(whole->fold_of(i));
  EXPECT_EQ(folds.size(), 40u);
  for (const auto& [row, in] : folds) EXPECT_EQ(in.size(), 1u) << "row " << row;
  int64_t evaluated = 0;
  for (int fold = 0; fold < kFolds; ++fold) {
    const FoldSplits splits = open(fold);
    EXPECT_EQ(splits.fold->size(), report.splits[0].folds[static_cast<size_t>(fold)]);
    for (const AugmentKind kind : splits.fold->augmented(all(*splits.fold))) EXPECT_EQ(kind, AugmentKind::kNone);
    const auto copies = splits.others->augmented(all(*splits.others));
    EXPECT_GT(std::count(copies.begin(), copies.end(), AugmentKind::kDelete), 30);
    evaluated += splits.fold->size();
  }
  EXPECT_EQ(evaluated, 40);
}

// Each line has a word of its own. Units are documents, or lines where there are none; blocks are of lines of one fold.
TEST_F(FoldsTest, DocumentsAreWhole) {
  constexpr int kDocuments = 22, kLines = 5;
  std::string vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n", text;
  for (int line = 0; line < kDocuments * kLines; ++line) {
    const std::string word = concat("w", line);
    vocab += word + "\n";
    text += concat(word, " ", word, " ", word, (line + 1) % kLines == 0 ? "\n\n" : "\n");
  }
  for (const auto& [task, lines] : {std::pair("pretraining", kLines), std::pair("masked-lm", 1)}) {
    PrepareOptions with = options();
    with.tokenizer = write_bytes(folder_ / "words.txt", vocab);
    with.task = task;
    with.max_length = 16;
    prepare_folds(with, text, "train.txt");
    std::map<int32_t, std::set<int>> folds;  // of each unit
    for (int fold = 0; fold < kFolds; ++fold)
      for (const int32_t id : read_all(*open(fold).fold).input_ids)
        if (id >= 5) folds[(id - 5) / lines].insert(fold);
    EXPECT_GT(std::ssize(folds), kDocuments * kLines / lines - kFolds * 4) << "masked-lm drops what fills no block";
    for (const auto& [unit, in] : folds) EXPECT_EQ(in.size(), 1u) << task << ", unit " << unit;
    if (task == std::string("masked-lm")) continue;
    std::vector<int64_t> documents(kFolds);
    for (const auto& [unit, in] : folds) ++documents[static_cast<size_t>(*in.begin())];
    EXPECT_EQ(documents, (std::vector<int64_t>{6, 6, 5, 5}));
  }
}

// As the prefetcher and an evaluation do; the two share what was read of the file.
TEST_F(FoldsTest, BothSplitsMayBeReadAtTheSameTime) {
  prepare_folds(options(), many_rows(400));
  const FoldSplits splits = open(0);
  const std::vector<int32_t> others = read_all(*splits.others).input_ids, own = read_all(*splits.fold).input_ids;
  std::thread beside([&] {
    for (int i = 0; i < 20; ++i) EXPECT_EQ(read_all(*splits.others).input_ids, others);
  });
  for (int i = 0; i < 20; ++i) EXPECT_EQ(read_all(*splits.fold).input_ids, own);
  beside.join();
}

TEST_F(FoldsTest, WhatCannotBeIsRefused) {
  PrepareOptions with = options(many_rows(20));
  with.folds = 1;
  EXPECT_NE(error_of([&] { prepare(with); }).find("--folds must be 2 to 255, or 0 for none; got 1"), std::string::npos);
  with.folds = 256;
  EXPECT_NE(error_of([&] { prepare(with); }), "");
  with.folds = 2;
  with.validation_split = 0.5;
  EXPECT_NE(error_of([&] { prepare(with); }).find("exclude each other"), std::string::npos);
  with.validation_split = 0;
  with.validation_file = with.train_file;
  prepare(with);
  const auto cut = Dataset::open(with.output);
  EXPECT_EQ(cut->info().splits.size(), 2u);
  EXPECT_EQ(error_of([&] { cut->split("validation"); }), "");
  EXPECT_EQ(error_of([&] { open_fold(*cut, 1); }), "");
  for (const int fold : {-1, 2})
    EXPECT_NE(error_of([&] { open_fold(*cut, fold); }).find("has the folds 0 to 1"), std::string::npos);
  with.train_file.clear();
  EXPECT_NE(error_of([&] { prepare(with); }).find("name a training file"), std::string::npos);
  write_dataset(folder_ / "uncut.h5", TaskKind::kSequenceClassification, 10);
  EXPECT_NE(error_of([&] { open_fold(*Dataset::open(folder_ / "uncut.h5"), 0); }).find("prepare it with --folds"),
            std::string::npos);
}

// Four samples of two questions, in these folds of two.
void write_cut(const std::filesystem::path& path, int folds, const std::vector<int>& fold_of, bool of_train = true,
               bool cut = true) {
  DatasetWriter writer(path, TaskKind::kQuestionAnswering, 1000, 1);
  writer.add_split(of_train ? "train" : "validation", {.folds = cut});
  for (size_t i = 0; i < fold_of.size(); ++i) {
    if (i % 2 == 0) writer.append(0, made_up_question(static_cast<int64_t>(i) / 2));
    writer.append(0, made_up_sample(static_cast<int64_t>(i), LabelShape::kSpan, 1000, 1), fold_of[i]);
  }
  DatasetInfo info = made_up_info(TaskKind::kQuestionAnswering, 1000, 0);
  info.folds = folds;
  writer.commit(info);
}

TEST(FoldColumn, IsDistrusted) {
  const TempDir folder;
  const auto path = folder / "data.h5";
  const auto error = [&](auto... arguments) {
    write_cut(path, arguments...);
    return error_of([&] {
      const auto dataset = Dataset::open(path);
      dataset->split(dataset->info().splits[0]);
    });
  };
  using Folds = std::vector<int>;
  EXPECT_EQ(error(2, Folds{0, 0, 1, 1}), "");
  EXPECT_EQ(error(0, Folds{0, 0, 0, 0}, true, false), "");
  const std::pair<std::string, const char*> cases[] = {
      {error(2, Folds{0, 0, 2, 2}), "sample 2 is in the fold 2 of 0 to 1"},
      {error(2, Folds{0, 0, 255, 255}), "sample 2 is in the fold 255 of 0 to 1"},
      {error(2, Folds{0, 0, 0, 1}), "sample 3 is in another fold than its question"},
      {error(2, Folds{0, 0, 1, 1}, true, false), "'fold' is missing"},
      {error(0, Folds{0, 0, 1, 1}), "'fold' is not expected here"},
      {error(2, Folds{0, 0, 1, 1}, false, true), "'fold' is not expected here"},
      {error(1, Folds{0, 0, 0, 0}), "'folds' is 1, expected 2 to 255"},
      {error(256, Folds{0, 0, 1, 1}), "'folds' is 256, expected 2 to 255"},
  };
  for (const auto& [message, says] : cases) EXPECT_NE(message.find(says), std::string::npos) << says << ": " << message;
  write_cut(path, 3, {0, 0, 1, 1});
  EXPECT_NE(error_of([&] { open_fold(*Dataset::open(path), 2); }).find("fold 2 has no samples"), std::string::npos);
  write_cut(path, 2, {1, 1, 1, 1});
  EXPECT_NE(error_of([&] { open_fold(*Dataset::open(path), 1); }).find("all folds but 1 have no samples"), std::string::npos);
}

TEST(FoldColumn, HasARowForEachSample) {
  const TempDir folder;
  const auto path = folder / "data.h5";
  for (const hsize_t rows : {0, 3, 4, 5}) {
    write_cut(path, 2, {0, 0, 1, 1});
    const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), train = H5Gopen2(file, "train", H5P_DEFAULT);
    H5Ldelete(train, "fold", H5P_DEFAULT);
    const hsize_t chunk = 4, any = H5S_UNLIMITED;
    const hid_t space = H5Screate_simple(1, &rows, &any), creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(creation, 1, &chunk);
    const hid_t dataset = H5Dcreate2(train, "fold", H5T_STD_U8LE, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    const std::vector<uint8_t> values(5, 1);
    if (rows > 0) H5Dwrite(dataset, H5T_STD_U8LE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
    H5Dclose(dataset), H5Pclose(creation), H5Sclose(space), H5Gclose(train), H5Fclose(file);
    const std::string error = error_of([&] { Dataset::open(path)->split("train"); });
    EXPECT_EQ(error.find("'fold' does not have a row for each of the 4 samples") != std::string::npos, rows != 4) << error;
  }
}

}  // namespace
}  // namespace berth::data
