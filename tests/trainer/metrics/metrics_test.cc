// Random cases against scikit-learn, scipy and seqeval: tests/golden/metrics_golden.py makes the same inputs, draw by draw, and
// writes the expected values.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <fstream>
#include <functional>
#include <limits>
#include <numbers>

#include "data/check.h"
#include "data/tokenizer/answer_text.h"
#include "trainer/metrics/answers.h"
#include "trainer/metrics/classification.h"
#include "trainer/metrics/entities.h"
#include "trainer/metrics/language_model.h"
#include "trainer/metrics/multi_label.h"
#include "trainer/metrics/regression.h"

namespace berth::train {
namespace {

constexpr int kCases = 1000;
constexpr double kTolerance = 1e-12;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
static_assert(std::endian::native == std::endian::little, "the golden files are little-endian");

// splitmix64, as in metrics_golden.py.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }
  int below(int n) { return static_cast<int>(next() % static_cast<uint64_t>(n)); }
  double unit() { return static_cast<double>(next() >> 11) * 0x1p-53; }

 private:
  uint64_t state_;
};

std::vector<double> read_golden(const std::string& name) {
  std::ifstream in(std::string(BERTH_SOURCE_DIR) + "/tests/golden/metrics_" + name + ".f64", std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  std::vector<double> values(bytes.size() / sizeof(double));
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(values.data()));
  return values;
}

void append(std::vector<double>& row, const PrecisionRecallF1& scores) {
  row.insert(row.end(), {scores.precision, scores.recall, scores.f1});
}

// Compares `make(i)` with row i of the golden file, for all cases.
void compare(const std::string& name, const std::function<std::vector<double>(int)>& make) {
  const std::vector<double> golden = read_golden(name);
  const size_t columns = make(0).size();
  ASSERT_EQ(golden.size(), kCases * columns);
  for (int i = 0; i < kCases; ++i) {
    const std::vector<double> row = make(i);
    for (size_t c = 0; c < columns; ++c) {
      const double expected = golden[static_cast<size_t>(i) * columns + c];
      if (std::isnan(expected)) {
        ASSERT_TRUE(std::isnan(row[c])) << "case " << i << ", column " << c << ": " << row[c] << " instead of NaN";
      } else {
        ASSERT_NEAR(row[c], expected, kTolerance * std::max(1.0, std::abs(expected))) << "case " << i << ", column " << c;
      }
    }
  }
}

std::vector<double> classification_case(int i) {
  Random r(static_cast<uint64_t>(i));
  const int n = 1 + r.below(60);
  const int k = i % 2 == 0 ? 2 : 2 + r.below(5);
  const int kind = r.below(8), fixed = r.below(k);
  ConfusionMatrix matrix(k);
  std::vector<int32_t> labels;
  std::vector<double> scores, second;
  for (int s = 0; s < n; ++s) {
    const int label = kind == 0 ? fixed : r.below(k);
    const int prediction = r.below(2) != 0 ? r.below(k) : label;
    labels.push_back(label);
    matrix.add(label, kind == 1 ? fixed : kind == 2 ? label : prediction);
    std::vector<int> weights;
    int sum = 0;
    for (int c = 0; c < k; ++c) sum += weights.emplace_back(1 + r.below(8));
    for (const int weight : weights) scores.push_back(static_cast<double>(weight) / sum);
    second.push_back(static_cast<double>(weights[1]) / sum);
  }
  std::vector<double> row = {matrix.accuracy()};
  append(row, k == 2 ? matrix.average(Average::kBinary) : PrecisionRecallF1{kNan, kNan, kNan});
  append(row, matrix.average(Average::kMacro));
  row.push_back(matrix.average(Average::kMicro).f1);
  row.push_back(matrix.matthews_correlation());
  row.push_back(k == 2 ? roc_auc(labels, second) : roc_auc_one_vs_rest(labels, scores, k));
  return row;
}

std::vector<double> regression_case(int i) {
  Random r(static_cast<uint64_t>(i));
  const int n = 2 + r.below(40), kind = r.below(6);
  std::vector<double> x, y;
  for (int s = 0; s < n; ++s) {
    const double a = kind <= 1 ? r.below(5) : r.unit();
    const double b = kind <= 1 ? r.below(5) : r.unit();
    x.push_back(kind == 2 ? 2.5 : a);
    y.push_back(kind == 3 ? a * 3 : kind == 4 ? a + b : 100 + b);
  }
  return {pearson(x, y), spearman(x, y), mean_squared_error(x, y)};
}

std::vector<double> multi_label_case(int i) {
  Random r(static_cast<uint64_t>(i));
  const int n = 1 + r.below(30), k = 2 + r.below(5), kind = r.below(6);
  MultiLabelCounts counts(k);
  std::vector<int32_t> targets;
  for (int s = 0; s < n; ++s) {
    std::vector<int32_t> actual, predicted;
    for (int c = 0; c < k; ++c) {
      const int label = kind == 0 ? 0 : r.below(3) == 0;
      int prediction = label;
      if (r.below(3) == 0) prediction = r.below(2);
      actual.push_back(label);
      predicted.push_back(kind == 1 ? 0 : kind == 2 ? label : prediction);
    }
    counts.add(actual, predicted);
    targets.insert(targets.end(), actual.begin(), actual.end());
  }
  std::vector<double> row, scores;
  append(row, counts.micro());
  append(row, counts.macro());
  row.push_back(counts.subset_accuracy());
  for (const int32_t target : targets) scores.push_back((r.below(8) + 2 * target) / 9.0);
  const RocAuc auc = multi_label_roc_auc(targets, scores, k);
  row.insert(row.end(), {auc.micro, auc.macro});
  return row;
}

struct TaggedSentence {
  std::vector<std::string> actual, predicted;
};

std::vector<TaggedSentence> entity_sentences(int i) {
  Random r(static_cast<uint64_t>(i));
  const std::string prefixes = i % 2 == 0 ? "BIO" : "BIESO";
  const auto tag = [&] {
    const char prefix = prefixes[static_cast<size_t>(r.below(static_cast<int>(prefixes.size())))];
    const char* type = std::vector<const char*>{"LOC", "ORG", "PER"}[static_cast<size_t>(r.below(3))];
    return prefix == 'O' ? std::string("O") : std::string(1, prefix) + "-" + type;
  };
  std::vector<TaggedSentence> sentences(static_cast<size_t>(1 + r.below(4)));
  for (TaggedSentence& sentence : sentences) {
    for (int left = 1 + r.below(12); left > 0; --left) {
      sentence.actual.push_back(tag());
      const std::string other = tag();
      sentence.predicted.push_back(r.below(10) < 3 ? other : sentence.actual.back());
    }
  }
  return sentences;
}

EntityCounts count_entities(const std::vector<TaggedSentence>& sentences, TagScheme scheme) {
  EntityCounts counts(scheme);
  for (const TaggedSentence& sentence : sentences) counts.add(sentence.actual, sentence.predicted);
  return counts;
}

std::vector<double> entity_case(int i) {
  const std::vector<TaggedSentence> sentences = entity_sentences(i);
  const EntityCounts lenient = count_entities(sentences, TagScheme::kLenient);
  std::vector<double> row;
  append(row, lenient.overall());
  row.push_back(lenient.accuracy());
  const auto by_type = lenient.by_type();
  for (const char* type : {"LOC", "ORG", "PER"}) row.push_back(by_type.contains(type) ? by_type.at(type).f1 : kNan);
  append(row, count_entities(sentences, i % 2 == 0 ? TagScheme::kIob2 : TagScheme::kIobes).overall());
  append(row, i % 2 == 0 ? count_entities(sentences, TagScheme::kIob1).overall() : PrecisionRecallF1{kNan, kNan, kNan});
  return row;
}

std::string answer_text(Random& r, int longest) {
  static const std::vector<std::string> words = {
      "the",      "The",     "a",          "An",     "cat",   "Cat", "CATS",     "l'été",   "Straße", "ΟΔΟΣ",
      "İstanbul", "naïve",   "東京",       "1,000",  "$5.00", "x_y", "...",      "the-end", "a.",     "“the”",
      "½",        "a\u0301", "\U0001F600", "\u00ad", "Ⅷ",     "’s",  "an\u00a0", "U.S.",    "\u1680", "ⓐ"};
  static const std::vector<std::string> separators = {" ", "  ", ", ", "-", "\u00a0", "\t", "\u2009", "/", "\u3000", "\u200b"};
  std::string out;
  for (int left = r.below(longest); left > 0; --left) {
    out += words[static_cast<size_t>(r.below(static_cast<int>(words.size())))];
    out += separators[static_cast<size_t>(r.below(static_cast<int>(separators.size())))];
  }
  return out;
}

std::vector<double> answer_case(int i) {
  Random r(static_cast<uint64_t>(i));
  const std::string prediction = answer_text(r, 5);
  std::vector<std::string> answers;
  for (int left = 1 + r.below(3); left > 0; --left) {
    const std::string other = answer_text(r, 4);
    answers.push_back(r.below(3) == 0 ? prediction + other : other);
  }
  const AnswerScore one = score_answer(prediction, answers, SquadVersion::kOne);
  const AnswerScore two = score_answer(prediction, answers, SquadVersion::kTwo);
  return {one.exact_match, one.f1, two.exact_match, two.f1};
}

TEST(Metrics, ClassificationEqualsScikitLearn) { compare("classification", classification_case); }
TEST(Metrics, RegressionEqualsScipy) { compare("regression", regression_case); }
TEST(Metrics, MultiLabelEqualsScikitLearn) { compare("multi_label", multi_label_case); }
TEST(Metrics, EntitiesEqualSeqeval) { compare("entities", entity_case); }

TEST(Metrics, AnswersEqualSquadsScripts) { compare("answers", answer_case); }

TEST(Metrics, NothingToCountIsNotANumberOrZero) {
  EXPECT_TRUE(std::isnan(ConfusionMatrix(3).accuracy()));
  EXPECT_EQ(ConfusionMatrix(3).average(Average::kMacro).f1, 0.0);
  EXPECT_EQ(ConfusionMatrix(3).average(Average::kMicro).f1, 0.0);
  EXPECT_EQ(ConfusionMatrix(3).matthews_correlation(), 0.0);
  EXPECT_TRUE(std::isnan(roc_auc({}, {})));
  EXPECT_TRUE(std::isnan(pearson({}, {})));
  EXPECT_TRUE(std::isnan(mean_squared_error({}, {})));
  EXPECT_TRUE(std::isnan(MultiLabelCounts(2).subset_accuracy()));
  EXPECT_TRUE(std::isnan(EntityCounts().accuracy()));
  EXPECT_EQ(EntityCounts().overall().f1, 0.0);
}

TEST(Metrics, NotANumberAmongTheValuesGivesNotANumber) {
  const std::vector<double> good = {1, 2, 3}, bad = {1, kNan, 3};
  EXPECT_TRUE(std::isnan(roc_auc(std::vector<int32_t>{0, 1, 1}, bad)));
  EXPECT_TRUE(std::isnan(pearson(good, bad)));
  EXPECT_TRUE(std::isnan(spearman(bad, good)));
}

TEST(Metrics, LabelsOutOfRangeAreRefused) {
  ConfusionMatrix matrix(2);
  EXPECT_THROW(matrix.add(2, 0), Error);
  EXPECT_THROW(matrix.add(0, -1), Error);
}

TEST(Metrics, ClassificationReportsClassOneOfTwoAndMeansOfMore) {
  const std::vector<int32_t> labels = {0, 1, 1, 0}, predictions = {0, 1, 0, 0};
  const std::vector<double> scores = {0.9, 0.1, 0.2, 0.8, 0.7, 0.3, 0.6, 0.4};
  const Metrics two = classification_metrics(labels, predictions, scores, 2);
  EXPECT_EQ(two, (Metrics{{"accuracy", 0.75, MetricKind::kScore},
                          {"f1", 2.0 / 3, MetricKind::kScore},
                          {"precision", 1.0, MetricKind::kScore},
                          {"recall", 0.5, MetricKind::kScore},
                          {"matthews_correlation", 4.0 / std::sqrt(48.0), MetricKind::kScore},
                          {"roc_auc", 0.75, MetricKind::kScore}}));
  const Metrics three = classification_metrics(labels, predictions, {}, 3);
  EXPECT_EQ(three.size(), 5u);
  EXPECT_DOUBLE_EQ(three[1].value, (0.8 + 2.0 / 3) / 2);
  EXPECT_THROW(classification_metrics(labels, predictions, scores, 3), Error);
}

TEST(Metrics, PerplexityIsTheExponential) {
  EXPECT_DOUBLE_EQ(perplexity(1), std::numbers::e);
  EXPECT_EQ(perplexity(1000), std::numeric_limits<double>::infinity());
}

TEST(Entities, TagsWithoutTypeOrWithDashesInIt) {
  const std::vector<std::string> tags = {"B", "I", "O", "B-work-of-art", "I-work-of-art", "", "S-X"};
  const std::vector<Entity> lenient = {{"_", 0, 2}, {"work-of-art", 3, 5}, {"X", 6, 7}};
  EXPECT_EQ(find_entities(tags, TagScheme::kLenient), lenient);
}

TEST(Entities, AStrictSchemeRefusesForeignPrefixes) {
  const std::vector<std::string> tags = {"B-PER", "E-PER"};
  EXPECT_THROW(find_entities(tags, TagScheme::kIob2), Error);
  EXPECT_EQ(find_entities(tags, TagScheme::kIobes), (std::vector<Entity>{{"PER", 0, 2}}));
}

TEST(Answers, WordsAreBare) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(data::answer_words("The  Cat's an ANT; a-b, the_end\n"), (Words{"cats", "ant", "ab", "theend"}));
  EXPECT_EQ(data::answer_words("ΟΔΟΣ\u3000(a) £5"), (Words{"οδος", "£5"}));
  EXPECT_EQ(data::answer_words("éa aé"), (Words{"éa", "aé"})) << "no article within a word";
  EXPECT_EQ(data::answer_words(" a the. "), Words{});
}

TEST(Answers, NothingExpectedAndNothingSaid) {
  EXPECT_EQ(score_answer("", {}, SquadVersion::kTwo).exact_match, 1.0);
  EXPECT_EQ(score_answer("", {}, SquadVersion::kTwo).f1, 1.0);
  EXPECT_EQ(score_answer("boat", {}, SquadVersion::kTwo).f1, 0.0);
  EXPECT_EQ(score_answer("", {}, SquadVersion::kOne).exact_match, 0.0);
}

}  // namespace
}  // namespace berth::train
