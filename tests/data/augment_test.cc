#include "data/text/augment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>
#include <set>
#include <sstream>

#include "data/prepare/prepare.h"
#include "data/store/dataset.h"
#include "tests/data/dataset_file.h"

namespace berth::data {
namespace {

using namespace testing;

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}

std::vector<std::string> sorted(std::vector<std::string> words) {
  std::sort(words.begin(), words.end());
  return words;
}

// w1 w2 … wN
std::string text_of(int words) {
  std::string text;
  for (int i = 1; i <= words; ++i) text += concat(i > 1 ? " " : "", "w", i);
  return text;
}

std::vector<AugmentedRecord> copies_of(const std::vector<Record>& records, int copy, const AugmentOptions& options,
                                       uint64_t seed = 42) {
  std::vector<const Record*> pointers;
  for (const Record& record : records) pointers.push_back(&record);
  return augment(pointers, copy, seed, options);
}

Record record_of(int64_t row, std::string text) {
  Record record;
  record.row = row;
  record.text = std::move(text);
  record.labels = {"x"};
  return record;
}

Record pair_of(int64_t row, std::string text, std::string text_pair) {
  Record record = record_of(row, std::move(text));
  record.has_pair = true;
  record.text_pair = std::move(text_pair);
  return record;
}

std::vector<Record> texts(int count) {
  std::vector<Record> records;
  for (int i = 1; i <= count; ++i) records.push_back(record_of(i, text_of(i)));
  return records;
}

// Every hidden word becomes the word and its draw; of texts of five words nothing can be replaced.
std::vector<std::vector<std::string>> upper_case(std::span<const HiddenWords> asked) {
  std::vector<std::vector<std::string>> answers;
  for (const HiddenWords& text : asked) {
    auto& answer = answers.emplace_back();
    for (size_t k = 0; k < text.hidden.size(); ++k) {
      EXPECT_TRUE(text.draws[k] >= 0 && text.draws[k] < 1);
      EXPECT_TRUE(k == 0 || text.hidden[k - 1] < text.hidden[k]);
      answer.push_back(text.words.size() == 5 ? "" : "S" + text.words.at(text.hidden[k]));
    }
  }
  return answers;
}

TEST(Augment, SwappingKeepsTheWords) {
  const auto records = texts(60);
  for (const AugmentedRecord& made : copies_of(records, 0, {.kinds = {AugmentKind::kSwap}})) {
    const Record& source = records[made.source];
    EXPECT_EQ(sorted(words_of(made.record.text)), sorted(words_of(source.text)));
    EXPECT_EQ(made.record.text == source.text, source.row == 1) << made.record.text;
    EXPECT_EQ(made.record.row, source.row);
    EXPECT_EQ(made.record.labels, source.labels);
    EXPECT_EQ(made.kind, AugmentKind::kSwap);
  }
}

TEST(Augment, DeletionTakesItsShareAndLeavesAWord) {
  const auto records = texts(60);
  for (double fraction : {0.01, 0.1, 0.5, 1.}) {
    const auto copies = copies_of(records, 0, {.kinds = {AugmentKind::kDelete}, .fraction = fraction});
    ASSERT_EQ(copies.size(), 60u);
    for (const AugmentedRecord& made : copies) {
      const auto words = words_of(made.record.text), all = words_of(records[made.source].text);
      const size_t gone =
          all.size() == 1
              ? 0
              : std::clamp<size_t>(static_cast<size_t>(fraction * static_cast<double>(all.size()) + .5), 1, all.size() - 1);
      EXPECT_EQ(words.size(), all.size() - gone);
      // What is left is in its old order.
      size_t at = 0;
      for (const std::string& word : all) at += at < words.size() && words[at] == word;
      EXPECT_EQ(at, words.size());
    }
  }
}

TEST(Augment, SubstitutionReplacesItsShare) {
  const auto records = texts(60);
  const auto copies = copies_of(records, 0, {.kinds = {AugmentKind::kSubstitute}, .fraction = .2, .substitute = upper_case});
  ASSERT_EQ(copies.size(), 60u);
  for (const AugmentedRecord& made : copies) {
    const auto words = words_of(made.record.text);
    const auto replaced = std::count_if(words.begin(), words.end(), [](const std::string& word) { return word[0] == 'S'; });
    const int64_t expected = std::max<int64_t>(1, static_cast<int64_t>(.2 * static_cast<double>(words.size()) + .5));
    EXPECT_EQ(replaced, words.size() == 5 ? 0 : expected);
  }
}

TEST(Augment, KindsTakeTurnsOverRowsAndCopies) {
  const auto records = texts(9);
  const AugmentOptions options{.kinds = {AugmentKind::kSwap, AugmentKind::kDelete}, .copies = 2};
  for (int copy : {0, 1})
    for (const AugmentedRecord& made : copies_of(records, copy, options))
      EXPECT_EQ(made.kind, (made.record.row - 1 + copy) % 2 == 0 ? AugmentKind::kSwap : AugmentKind::kDelete);
}

TEST(Augment, ACopyDependsOnSeedRowAndCopyAlone) {
  const auto records = texts(40);
  const AugmentOptions options{.kinds = {AugmentKind::kSwap}, .fraction = .3};
  const auto all = copies_of(records, 0, options);
  const auto alone = copies_of({records[30]}, 0, options);
  const auto same = std::find_if(all.begin(), all.end(), [](const AugmentedRecord& made) { return made.source == 30; });
  EXPECT_EQ(alone.at(0).record.text, same->record.text);
  EXPECT_NE(copies_of({records[30]}, 1, options).at(0).record.text, same->record.text);
  EXPECT_NE(copies_of({records[30]}, 0, options, 43).at(0).record.text, same->record.text);
}

TEST(Augment, BothTextsOfAPairChange) {
  const std::vector<Record> records{pair_of(1, text_of(20), text_of(20)), pair_of(2, text_of(20), ""), pair_of(3, "a", "b")};
  const auto copies = copies_of(records, 0, {.kinds = {AugmentKind::kDelete}});
  ASSERT_EQ(copies.size(), 3u);
  EXPECT_EQ(words_of(copies[0].record.text).size(), 18u);
  EXPECT_EQ(words_of(copies[0].record.text_pair).size(), 18u);
  EXPECT_NE(copies[0].record.text, copies[0].record.text_pair) << "each text has numbers of its own";
  EXPECT_EQ(copies[1].record.text_pair, "");
  EXPECT_EQ(copies[2].record.text + copies[2].record.text_pair, "ab");
}

TEST(Augment, TextsThatCannotChangeStayAsTheyAre) {
  for (const AugmentKind kind : {AugmentKind::kSwap, AugmentKind::kDelete, AugmentKind::kSubstitute})
    EXPECT_EQ(copies_of({record_of(1, " ")}, 0, {.kinds = {kind}, .substitute = upper_case}).at(0).record.text, "");
  for (const AugmentKind kind : {AugmentKind::kSwap, AugmentKind::kDelete})
    EXPECT_EQ(copies_of({record_of(1, " word ")}, 0, {.kinds = {kind}}).at(0).record.text, "word");
}

TEST(Augment, RefusesOptionsThatMakeNoSense) {
  const auto error = [](const AugmentOptions& options) { return error_of([&] { options.validate(); }); };
  EXPECT_EQ(error({}), "");
  EXPECT_NE(error({.kinds = {AugmentKind::kSwap}, .copies = 0}).find("expected 1 to"), std::string::npos);
  EXPECT_NE(error({.kinds = {AugmentKind::kSwap}, .fraction = 0}).find("above 0"), std::string::npos);
  EXPECT_NE(error({.kinds = {AugmentKind::kSubstitute}}).find("needs a masked language model"), std::string::npos);
  EXPECT_NE(error({.copies = 3}).find("no augmentation"), std::string::npos);
  EXPECT_NE(error_of([] { find_augment("shout"); }).find("'shout' is not known"), std::string::npos);
}

class PrepareAugmented : public ::testing::Test {
 protected:
  PrepareOptions options() {
    std::string csv = "text,label\n";
    for (int i = 0; i < 1000; ++i) csv += text_of(1 + i * 7 % 23) + (i % 3 == 0 ? ",bad\n" : ",good\n");
    PrepareOptions options;
    options.train_file = write_bytes(folder_ / "train.csv", csv);
    std::string vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
    for (int i = 1; i <= 23; ++i) vocab += concat("w", i, "\nsw", i, "\n");
    options.tokenizer = write_bytes(folder_ / "vocab.txt", vocab);
    options.output = folder_ / "data.h5";
    options.validation_split = .2;
    options.threads = 2;
    options.augment = {
        .kinds = {AugmentKind::kSwap, AugmentKind::kDelete, AugmentKind::kSubstitute}, .copies = 2, .substitute = upper_case};
    return options;
  }

  struct Content {
    std::vector<int64_t> rows;
    std::vector<AugmentKind> kinds;
    Batch batch;
  };
  Content read(const std::string& split) {
    const auto data = Dataset::open(folder_ / "data.h5")->split(split);
    std::vector<int64_t> samples(static_cast<size_t>(data->size()));
    for (size_t i = 0; i < samples.size(); ++i) samples[i] = static_cast<int64_t>(i);
    Content content{data->rows(samples), data->augmented(samples), {}};
    data->read(samples, content.batch);
    return content;
  }

  TempDir folder_;
};

TEST_F(PrepareAugmented, CopiesFollowTheirRowAndKeepItsLabel) {
  const PrepareReport report = prepare(options());
  const Content train = read("train");
  ASSERT_EQ(train.rows.size(), static_cast<size_t>(report.splits[0].samples));
  std::map<int64_t, int32_t> labels;
  std::map<std::string, int64_t> counts;
  for (size_t i = 0; i < train.rows.size(); ++i) {
    if (train.kinds[i] == AugmentKind::kNone) {
      EXPECT_TRUE(labels.emplace(train.rows[i], train.batch.labels[i]).second) << "row " << train.rows[i] << " stands twice";
    } else {
      EXPECT_GT(train.batch.cu_seqlens[i + 1] - train.batch.cu_seqlens[i], 2) << "an empty text";
      ASSERT_EQ(labels.count(train.rows[i]), 1u);
      EXPECT_EQ(train.batch.labels[i], labels[train.rows[i]]);
      ++counts[augment_name(train.kinds[i])];
    }
  }
  EXPECT_EQ(labels.size(), 800u);
  EXPECT_EQ(counts, report.splits[0].augmented);
  EXPECT_EQ(counts.size(), 3u);
  int64_t made = 0;
  for (const auto& [kind, count] : counts) made += count;
  EXPECT_EQ(made + report.splits[0].not_augmented, 1600);
  EXPECT_GT(report.splits[0].not_augmented, 0) << "texts of one word can be neither swapped nor deleted";
  EXPECT_NE(describe(report).find(concat("copies   delete ", counts["delete"])), std::string::npos) << describe(report);
}

TEST_F(PrepareAugmented, NothingOfTheValidationSplitIsInTheTrainingSplit) {
  auto with = options();
  prepare(with);
  const Content train = read("train"), validation = read("validation");
  EXPECT_EQ(validation.rows.size(), 200u);
  EXPECT_TRUE(
      std::all_of(validation.kinds.begin(), validation.kinds.end(), [](auto kind) { return kind == AugmentKind::kNone; }));
  const std::set<int64_t> held_out(validation.rows.begin(), validation.rows.end());
  EXPECT_TRUE(std::none_of(train.rows.begin(), train.rows.end(), [&](int64_t row) { return held_out.count(row) > 0; }));
  // The split itself is that of the same seed without augmentation.
  with.augment = {};
  prepare(with);
  EXPECT_EQ(read("validation").rows, validation.rows);
  const Content plain = read("train");
  EXPECT_EQ(plain.rows.size(), 800u);
  EXPECT_EQ(plain.kinds, std::vector<AugmentKind>(800, AugmentKind::kNone));
}

TEST_F(PrepareAugmented, TheFileIsTheSameForAnyNumberOfThreads) {
  auto with = options();
  std::string expected;
  for (int threads : {1, 2, 3, 8}) {
    with.threads = threads;
    prepare(with);
    const std::string bytes = read_bytes(with.output);
    if (threads == 1) expected = bytes;
    EXPECT_TRUE(bytes == expected) << threads << " threads";
  }
  with.seed = 43;
  prepare(with);
  EXPECT_FALSE(read_bytes(with.output) == expected);
}

TEST_F(PrepareAugmented, SubstitutionIsAskedForManyTextsAtOnce) {
  auto with = options();
  std::mutex mutex;
  size_t calls = 0, asked = 0;
  with.augment.substitute = [&](std::span<const HiddenWords> texts) {
    const std::lock_guard lock(mutex);
    ++calls;
    asked += texts.size();
    return upper_case(texts);
  };
  prepare(with);
  EXPECT_LE(calls, 8u) << "a call for each 256 rows and copy";
  EXPECT_GT(asked, 500u);
}

TEST_F(PrepareAugmented, TasksWithoutALabelOfTheWholeTextAreRefused) {
  for (const char* task : {"ner", "qa", "mlm"}) {
    auto with = options();
    with.task = task;
    const std::string error = error_of([&] { prepare(with); });
    EXPECT_NE(error.find("cannot be prepared with augmentation"), std::string::npos) << error;
  }
  auto with = options();
  with.validation_split = 0;
  with.validation_file = std::exchange(with.train_file, {});
  with.label_names = {"bad", "good"};
  EXPECT_NE(error_of([&] { prepare(with); }).find("name a training file"), std::string::npos);
}

}  // namespace
}  // namespace berth::data
