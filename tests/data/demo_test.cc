#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "data/check.h"
#include "data/demo/bag_of_words.h"
#include "data/demo/grammar.h"
#include "data/demo/reviews.h"
#include "data/files/files.h"
#include "tests/support/temp_dir.h"

namespace berth::demo {
namespace {

const std::string kFolder = BERTH_SOURCE_DIR "/data/demo/";

// Words without content of their own, which any two English texts share.
const std::set<std::string> kFunctionWords = {
    "about", "after",   "again", "all",     "also",  "am",     "an",    "and",   "any",    "anyone", "anything", "are",
    "as",    "at",      "be",    "because", "been",  "before", "being", "both",  "but",    "by",     "can",      "could",
    "did",   "do",      "does",  "down",    "each",  "ever",   "every", "for",   "from",   "had",    "has",      "have",
    "he",    "her",     "here",  "him",     "his",   "how",    "if",    "in",    "into",   "is",     "it",       "its",
    "just",  "ll",      "me",    "more",    "most",  "my",     "never", "no",    "nobody", "none",   "nor",      "not",
    "now",   "of",      "off",   "on",      "once",  "one",    "only",  "or",    "other",  "our",    "out",      "over",
    "own",   "re",      "she",   "should",  "since", "so",     "some",  "still", "such",   "than",   "that",     "the",
    "their", "them",    "then",  "there",   "these", "they",   "this",  "those", "though", "to",     "too",      "until",
    "up",    "us",      "ve",    "very",    "was",   "we",     "were",  "what",  "when",   "where",  "which",    "while",
    "who",   "whoever", "whom",  "why",     "will",  "with",   "would", "yet",   "you",    "your"};

std::string message_of(std::string_view grammar, int64_t count) {
  try {
    Grammar(grammar).generate(count, 1);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::map<std::string, int64_t> label_counts(const std::vector<Review>& reviews) {
  std::map<std::string, int64_t> counts;
  for (const Review& review : reviews) ++counts[review.label];
  return counts;
}

size_t distinct_texts(const std::vector<Review>& reviews) {
  std::set<std::string> texts;
  for (const Review& review : reviews) texts.insert(review.text);
  return texts.size();
}

TEST(DemoData, TrainIsExactlyWhatTheGrammarWrites) {
  const Grammar grammar(data::read_file(kFolder + "grammar.txt"));
  EXPECT_TRUE(to_csv(grammar.generate(3000, 1)) == data::read_file(kFolder + "train.csv"))
      << "regenerate: build/demo_generate data/demo/grammar.txt 3000 1 > data/demo/train.csv";
}

TEST(DemoData, TrainIsBalancedAndHasNoDuplicates) {
  const std::vector<Review> train = read_reviews(kFolder + "train.csv");
  EXPECT_EQ(label_counts(train), (std::map<std::string, int64_t>{{"negative", 1500}, {"positive", 1500}}));
  EXPECT_EQ(distinct_texts(train), train.size());
}

TEST(DemoData, TestIsBalancedNewAndCommitted) {
  const std::vector<Review> test = read_reviews(kFolder + "test.csv");
  EXPECT_EQ(label_counts(test), (std::map<std::string, int64_t>{{"negative", 100}, {"positive", 100}}));
  std::vector<Review> both = read_reviews(kFolder + "train.csv");
  both.insert(both.end(), test.begin(), test.end());
  EXPECT_EQ(distinct_texts(both), both.size());
}

TEST(DemoData, MostContentWordsOfTestAreOutsideTheGrammar) {
  const std::vector<std::string> vocabulary = Grammar(data::read_file(kFolder + "grammar.txt")).vocabulary();
  std::map<std::string, double> counts;
  for (const Review& review : read_reviews(kFolder + "test.csv"))
    for (const std::string& word : words(review.text))
      if (!kFunctionWords.contains(word)) ++counts[word];
  double tokens = 0, types = 0, tokens_outside = 0, types_outside = 0;
  for (const auto& [word, count] : counts) {
    const bool outside = !std::binary_search(vocabulary.begin(), vocabulary.end(), word);
    tokens += count;
    types += 1;
    tokens_outside += outside ? count : 0;
    types_outside += outside ? 1 : 0;
  }
  RecordProperty("share_of_types", std::to_string(types_outside / types));
  RecordProperty("share_of_tokens", std::to_string(tokens_outside / tokens));
  EXPECT_GT(types_outside / types, 0.6);
  EXPECT_GT(tokens_outside / tokens, 0.5);
}

TEST(DemoGrammar, PolarityDomainsChoicesAndArticles) {
  const Grammar grammar(
      "domains:\n  tea\nsentence:\n  it is (quite|very) {good=}, not {good~} , a {thing}: {fixed+}. fine?\n"
      "good+:\n  nice\ngood-:\n  bad\nfixed+:\n  always\nthing:\n  generic\ntea.thing:\n  oolong\n");
  std::set<std::string> texts;
  for (const Review& review : grammar.generate(4, 7)) texts.insert(review.label + " " + review.text);
  EXPECT_EQ(texts, (std::set<std::string>{"negative It is quite bad, not nice, an oolong: always. Fine?",
                                          "negative It is very bad, not nice, an oolong: always. Fine?",
                                          "positive It is quite nice, not bad, an oolong: always. Fine?",
                                          "positive It is very nice, not bad, an oolong: always. Fine?"}));
}

TEST(DemoGrammar, VocabularyLeavesOutReferences) {
  const Grammar grammar("domains:\n  tea\nsentence:\n  some {hidden=} (words|letters) | I see\n");
  EXPECT_EQ(grammar.vocabulary(), (std::vector<std::string>{"letters", "see", "some", "tea", "words"}));
}

TEST(DemoGrammar, ErrorsNameTheCause) {
  const std::string domains = "domains:\n  tea\n";
  EXPECT_NE(message_of(domains + "sentence:\n  a\n", 3).find("ran dry after 1 of 3"), std::string::npos);
  EXPECT_NE(message_of(domains + "sentence:\n  {nothing}\n", 1).find("{nothing}"), std::string::npos);
  EXPECT_NE(message_of(domains + "sentence:\n  {sentence}\n", 1).find("contains itself"), std::string::npos);
  EXPECT_NE(message_of(domains + "sentence:\n  (a|b\n", 1).find("unclosed"), std::string::npos);
  EXPECT_NE(message_of("  early\n", 1).find("line 1"), std::string::npos);
  EXPECT_NE(message_of(domains + "no colon\n", 1).find("line 3"), std::string::npos);
  EXPECT_NE(message_of(domains + "domains:\n  two\n", 1).find("defined twice"), std::string::npos);
  EXPECT_NE(message_of(domains, 1).find("\"sentence\""), std::string::npos);
}

TEST(DemoReviews, QuotedFieldsSurviveTheRoundTrip) {
  const test::TempDir folder;
  const std::string path = folder / "reviews.csv";
  const std::vector<Review> written = {{"plain", "a"}, {"comma, and \"quotes\"", "b"}, {"two\nlines", "c"}};
  test::write_bytes(path, to_csv(written));
  const std::vector<Review> read = read_reviews(path);
  ASSERT_EQ(read.size(), written.size());
  for (size_t i = 0; i < read.size(); ++i) {
    EXPECT_EQ(read[i].text, written[i].text);
    EXPECT_EQ(read[i].label, written[i].label);
  }
}

TEST(DemoBaseline, CountsNgramsWithLaplaceSmoothing) {
  // By hand: 8 n-grams in the vocabulary, 5 counted under each label. "good" alone: (2+1)/(5+8) against (0+1)/(5+8).
  const BagOfWords model({{"good good film", "p"}, {"bad dull film", "n"}});
  EXPECT_EQ(model.predict("GOOD!"), "p");
  EXPECT_EQ(model.predict("a dull thing"), "n");
  EXPECT_EQ(model.predict("film"), "n") << "a tie goes to the label that sorts first";
  EXPECT_EQ(model.predict("film of dull, good good"), "p");
  EXPECT_DOUBLE_EQ(model.accuracy({{"good", "p"}, {"dull", "p"}}), 0.5);
}

// The figure that scikit-learn 1.9's MultinomialNB on CountVectorizer(ngram_range=(1, 2)) gives on the same two files.
TEST(DemoBaseline, EqualsScikitLearnOnTheDemoData) {
  const BagOfWords model(read_reviews(kFolder + "train.csv"));
  EXPECT_DOUBLE_EQ(model.accuracy(read_reviews(kFolder + "test.csv")), 0.595);
}

}  // namespace
}  // namespace berth::demo
