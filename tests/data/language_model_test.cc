// Data of masked language models and of pretraining: blocks, lines, sentence pairs, masks.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "data/check.h"
#include "data/features/features.h"
#include "data/files/sha256.h"
#include "data/pipeline/masking.h"
#include "data/prepare/prepare.h"
#include "data/samples/collate.h"
#include "data/store/dataset.h"
#include "tests/data/dataset_file.h"

namespace berth::data {
namespace {

using namespace testing;

const nlohmann::json& golden() {
  static const nlohmann::json json = [] {
    std::ifstream in(BERTH_SOURCE_DIR "/tests/golden/language_model.json");
    return nlohmann::json::parse(in);
  }();
  return json;
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

PrepareOptions options_for(const std::string& task, int max_length, int threads = 2) {
  PrepareOptions options;
  options.task = task;
  options.max_length = max_length;
  options.threads = threads;
  return options;
}

PrepareOptions line_by_line(int max_length) {
  PrepareOptions options = options_for("masked-lm", max_length);
  options.line_by_line = true;
  return options;
}

class LanguageModelData : public ::testing::Test {
 protected:
  // Prepares `text`, a .txt file, and returns its training split.
  Batch prepared(const std::string& text, PrepareOptions options, const std::string& split = "train") {
    options.train_file = write_bytes(folder_ / "texts.txt", text);
    options.tokenizer = write_bytes(folder_ / "vocab.txt", vocab_);
    options.output = folder_ / "data.h5";
    report_ = prepare(options);
    return read(split);
  }
  Batch read(const std::string& split) {
    const auto data = Dataset::open(folder_ / "data.h5")->split(split);
    std::vector<int64_t> samples(static_cast<size_t>(data->size()));
    for (size_t i = 0; i < samples.size(); ++i) samples[i] = static_cast<int64_t>(i);
    Batch batch;
    data->read(samples, batch);
    return batch;
  }
  std::string file_bytes() const { return read_bytes(folder_ / "data.h5"); }

  TempDir folder_;
  std::string vocab_ = joined(golden()["vocab"].get<std::vector<std::string>>());
  PrepareReport report_;
};

TEST_F(LanguageModelData, BlocksAreThoseOfRunMlmOnAnyNumberOfThreads) {
  const std::string text = joined(golden()["texts"].get<std::vector<std::string>>());
  for (const auto& expected : golden()["blocks"]) {
    const int size = expected["size"];
    const Batch batch = prepared(text, options_for("masked-lm", size, 1));
    ASSERT_EQ(batch.size(), expected["count"].get<int64_t>());
    std::string ids;
    for (size_t t = 0; t < batch.input_ids.size(); ++t) ids += concat(t > 0 ? " " : "", batch.input_ids[t]);
    EXPECT_EQ(sha256_hex(ids), expected["sha256"].get<std::string>());
    EXPECT_EQ(std::vector<int32_t>(batch.input_ids.begin(), batch.input_ids.begin() + size),
              expected["first"].get<std::vector<int32_t>>());
    EXPECT_NE(
        report_.splits[0].summary.find(concat(" ", expected["dropped"].get<int>(), " tokens dropped at the end of each of ")),
        std::string::npos)
        << describe(report_);
    const std::string bytes = file_bytes();
    prepared(text, options_for("masked-lm", size, 3));
    EXPECT_TRUE(file_bytes() == bytes) << "block size " << size;
  }
}

TEST_F(LanguageModelData, LineByLineLeavesOutBlankLinesAndCutsLongOnes) {
  const Batch batch = prepared("the film\n\n  \nbad bad bad bad bad bad\n", line_by_line(6));
  EXPECT_EQ(batch.input_ids, (std::vector<int32_t>{2, 8, 7, 3, 2, 6, 6, 6, 6, 3}));
  EXPECT_EQ(report_.splits[0].truncated(), 1);
}

TEST_F(LanguageModelData, AColumnOfATableAndASplitWithoutLabels) {
  std::string csv = "question,answer,label\n";
  for (int i = 0; i < 40; ++i) csv += "the film,good,\n";
  PrepareOptions options = line_by_line(8);
  options.reader.format = FileFormat::kCsv;
  options.reader.columns.text = "question,answer";
  options.validation_split = 0.25;
  EXPECT_EQ(prepared(csv, options).size(), 30);
  EXPECT_EQ(read("validation").input_ids.size(), 50u);
}

TEST_F(LanguageModelData, TooLittleTextIsAnError) {
  EXPECT_THROW(prepared("the film\n", options_for("mlm", 8)), Error);
  EXPECT_THROW(prepared("\n\n", line_by_line(8)), Error);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "data.h5"));
}

TEST_F(LanguageModelData, DecodingIsHuggingFaces) {
  const BertTokenizer tokenizer = BertTokenizer::load(write_bytes(folder_ / "vocab.txt", vocab_));
  for (const auto& expected : golden()["decoded"]) {
    const auto ids = expected["ids"].get<std::vector<int32_t>>();
    EXPECT_EQ(tokenizer.decode(ids, false), expected["all"].get<std::string>());
    EXPECT_EQ(tokenizer.decode(ids, true), expected["skipped"].get<std::string>());
  }
}

// ---- sentence pairs: every sentence has words of its own, so that each token says where it comes from ----

constexpr int kDocuments = 60, kSentences = 12, kWords = 7, kFirstWord = 5;

class SentencePairsTest : public LanguageModelData {
 protected:
  SentencePairsTest() {
    vocab_ = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
    for (int word = 0; word < kDocuments * kSentences * kWords; ++word) {
      const std::string name = concat("w", word);
      vocab_ += name + "\n";
      text_ += name + ((word + 1) % kWords == 0 ? "\n" : " ");
      if ((word + 1) % (kSentences * kWords) == 0) text_ += "\n\n";
    }
  }
  static int document_of(int32_t id) { return (id - kFirstWord) / (kSentences * kWords); }

  std::string text_;
};

TEST_F(SentencePairsTest, TheSecondTextFollowsOrIsOfAnotherDocument) {
  const Batch batch = prepared(text_, options_for("pretraining", 40, 1));
  ASSERT_GT(batch.size(), 100);
  int64_t random = 0, full = 0;
  for (size_t b = 0; b < batch.sample_ids.size(); ++b) {
    const auto begin = static_cast<size_t>(batch.cu_seqlens[b]), end = static_cast<size_t>(batch.cu_seqlens[b + 1]);
    const std::vector<int32_t> ids(batch.input_ids.begin() + static_cast<ptrdiff_t>(begin),
                                   batch.input_ids.begin() + static_cast<ptrdiff_t>(end));
    const auto sep = static_cast<size_t>(std::find(ids.begin(), ids.end(), 3) - ids.begin());
    ASSERT_TRUE(ids[0] == 2 && ids.back() == 3 && sep > 1 && sep + 2 < ids.size() && ids.size() <= 40);
    EXPECT_EQ(batch.token_type_ids[begin + sep], 0);
    EXPECT_EQ(batch.token_type_ids[begin + sep + 1], 1);
    for (size_t t = 2; t < ids.size(); ++t) {
      const bool inside = t != sep && t != sep + 1 && t + 1 < ids.size();
      EXPECT_TRUE(!inside || ids[t] == ids[t - 1] + 1) << "segments are running text";
    }
    const int a = document_of(ids[sep - 1]), other = document_of(ids[sep + 1]);
    ASSERT_TRUE(batch.labels[b] == 0 || batch.labels[b] == 1);
    EXPECT_EQ(batch.labels[b] == 1, a != other);
    EXPECT_TRUE(batch.labels[b] == 1 || ids[sep + 1] > ids[sep - 1]);
    random += batch.labels[b];
    full += ids.size() == 40;
  }
  // More than half: what cannot be continued is paired at random.
  EXPECT_NEAR(static_cast<double>(random) / static_cast<double>(batch.size()), 0.55, 0.1);
  EXPECT_GT(full, batch.size() / 2);
}

TEST_F(SentencePairsTest, TheFileDependsOnTheSeedNotOnTheThreads) {
  const auto bytes = [&](int threads, uint64_t seed) {
    PrepareOptions options = options_for("pretraining", 40, threads);
    options.seed = seed;
    prepared(text_, options);
    return file_bytes();
  };
  const std::string one = bytes(1, 42);
  EXPECT_TRUE(bytes(3, 42) == one);
  EXPECT_FALSE(bytes(1, 43) == one);
}

TEST_F(SentencePairsTest, TheValidationSplitTakesWholeDocuments) {
  std::set<int> seen[2];
  PrepareOptions options = options_for("pretraining", 40);
  options.validation_split = 0.2;
  prepared(text_, options);
  for (int split : {0, 1})
    for (int32_t id : read(split == 0 ? "train" : "validation").input_ids)
      if (id >= kFirstWord) seen[split].insert(document_of(id));
  EXPECT_EQ(seen[1].size(), 12u);
  EXPECT_EQ(seen[0].size(), 48u);
  for (int document : seen[1]) EXPECT_FALSE(seen[0].contains(document));
}

TEST_F(SentencePairsTest, OneDocumentIsAnErrorAndEmptyOnesAreCounted) {
  EXPECT_THROW(prepared("w1 w2\nw3\n", options_for("pretraining", 40)), Error);
  prepared("w1 w2\nw3\n\n\x01\n\n\n\nw5\n", options_for("pretraining", 40));
  EXPECT_NE(describe(report_).find("from 2 documents"), std::string::npos) << describe(report_);
  EXPECT_NE(describe(report_).find("1 document without tokens left out"), std::string::npos) << describe(report_);
}

// ---- masks ----

constexpr int32_t kVocabulary = 1000;

Vocab make_vocab() {
  std::vector<std::string> tokens{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  while (std::ssize(tokens) < kVocabulary) tokens.push_back(concat(tokens.size() % 3 == 0 ? "##t" : "t", tokens.size()));
  return Vocab(tokens);
}

// Samples of 100 tokens between [CLS] and [SEP].
Batch make_samples(const std::vector<int64_t>& samples) {
  Batch batch;
  begin_batch(batch);
  for (int64_t sample : samples) {
    std::vector<int32_t> ids{2};
    for (int64_t t = 0; t < 100; ++t) ids.push_back(static_cast<int32_t>(5 + (sample * 31 + t * 7) % (kVocabulary - 5)));
    ids.push_back(3);
    append_sample(batch, sample);
    append_sequence(batch, sample, ids, static_cast<int32_t>(ids.size()));
  }
  return batch;
}

std::vector<int64_t> range(int64_t n) {
  std::vector<int64_t> all(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) all[static_cast<size_t>(i)] = i;
  return all;
}

TEST(Masks, RatesAreThoseOfBert) {
  const Vocab vocab = make_vocab();
  constexpr int64_t kSamples = 2000;
  const Batch before = make_samples(range(kSamples));
  Batch batch = before;
  Masker(vocab, {})(batch, 3);
  double targets = 0, masked = 0, kept = 0, random = 0;
  std::vector<int> random_tokens(kVocabulary);
  for (size_t t = 0; t < before.input_ids.size(); ++t) {
    const int32_t old = before.input_ids[t], now = batch.input_ids[t];
    if (batch.labels[t] == kIgnoreIndex) {
      EXPECT_EQ(now, old);
      continue;
    }
    ASSERT_EQ(batch.labels[t], old);
    ASSERT_GE(old, 5) << "a special token";
    ++targets;
    masked += now == vocab.mask();
    kept += now == old;
    random += now != old && now != vocab.mask();
    ++random_tokens[static_cast<size_t>(now)];
  }
  // Four standard deviations of the binomial distributions.
  const auto expect_share = [](double count, double of, double share) {
    EXPECT_NEAR(count / of, share, 4 * std::sqrt(share * (1 - share) / of));
  };
  expect_share(targets, 100. * kSamples, 0.15);
  expect_share(masked, targets, 0.8 + 0.1 / kVocabulary);
  expect_share(kept, targets, 0.1);
  expect_share(random, targets, 0.1);
  EXPECT_GT(std::count_if(random_tokens.begin(), random_tokens.end(), [](int n) { return n > 0; }), 950)
      << "all of the vocabulary";
}

TEST(Masks, DependOnSeedEpochAndSampleOnly) {
  const Vocab vocab = make_vocab();
  const Masker masker(vocab, {.seed = 7});
  Batch whole = make_samples(range(20)), part = make_samples({13, 2});
  masker(whole, 5);
  masker(part, 5);
  for (size_t b = 0; b < 2; ++b)
    for (size_t t = 0; t < 102; ++t) {
      const size_t in_whole = static_cast<size_t>(part.sample_ids[b]) * 102 + t, in_part = b * 102 + t;
      EXPECT_EQ(whole.input_ids[in_whole], part.input_ids[in_part]);
      EXPECT_EQ(whole.labels[in_whole], part.labels[in_part]);
    }
  const auto labels = [&](uint64_t seed, uint64_t epoch) {
    Batch batch = make_samples(range(20));
    Masker(vocab, {.seed = seed})(batch, epoch);
    return batch.labels;
  };
  EXPECT_EQ(labels(7, 5), whole.labels);
  EXPECT_NE(labels(7, 6), whole.labels);
  EXPECT_NE(labels(8, 5), whole.labels);
  EXPECT_NE(labels(7, kFixedMasks), whole.labels);
}

TEST(Masks, WholeWordsAreMaskedTogether) {
  const Vocab vocab = make_vocab();
  const Batch before = make_samples(range(500));
  Batch batch = before;
  Masker(vocab, {.whole_words = true})(batch, 0);
  double words = 0, masked = 0;
  for (size_t t = 0; t < before.input_ids.size(); ++t) {
    const int32_t id = before.input_ids[t];
    if (id < 5) continue;
    const bool target = batch.labels[t] != kIgnoreIndex;
    EXPECT_TRUE(!target || batch.input_ids[t] == vocab.mask());
    if (vocab.token(id).starts_with("##") && before.input_ids[t - 1] >= 5) {
      EXPECT_EQ(target, batch.labels[t - 1] != kIgnoreIndex);
    } else {
      ++words;
      masked += target;
    }
  }
  EXPECT_NEAR(masked / words, 0.15, 4 * std::sqrt(0.15 * 0.85 / words));
}

TEST(Masks, LabelsOfSentencesStayBehindThoseOfTokens) {
  Batch batch = make_samples({0, 1});
  batch.labels = {1, 0};
  Masker(make_vocab(), {})(batch, 0);
  ASSERT_EQ(batch.labels.size(), 206u);
  EXPECT_EQ(batch.labels[204], 1);
  EXPECT_EQ(batch.labels[205], 0);
}

TEST(Masks, AProbabilityOutOfRangeIsAnError) {
  EXPECT_THROW(MaskOptions{.probability = 0}.validate(), Error);
  EXPECT_THROW(MaskOptions{.probability = 1.5}.validate(), Error);
}

}  // namespace
}  // namespace berth::data
