// Entities of tagged words against transformers' TokenClassificationPipeline (tests/golden/entities_golden.py).
#include <gtest/gtest.h>

#include "tests/support/golden.h"
#include "trainer/tasks/tokens.h"

namespace berth::train {
namespace {

TEST(TokenEntities, EqualThoseOfThePipeline) {
  const auto cases = nlohmann::json::parse(test::read_golden("entities.json"));
  ASSERT_EQ(cases.size(), 300u);
  for (size_t i = 0; i < cases.size(); ++i) {
    std::vector<TaggedWord> words;
    for (const auto& word : cases[i][0]) words.push_back({word[0], word[1], word[2], word[3]});
    const std::vector<FoundEntity> found = entities_of(words);
    const auto& expected = cases[i][1];
    ASSERT_EQ(found.size(), expected.size()) << "case " << i;
    for (size_t e = 0; e < found.size(); ++e) {
      EXPECT_EQ(found[e].type, expected[e][0]) << "case " << i;
      EXPECT_EQ(found[e].begin, expected[e][1]) << "case " << i;
      EXPECT_EQ(found[e].end, expected[e][2]) << "case " << i;
      EXPECT_NEAR(found[e].score, expected[e][3].get<double>(), 1e-9) << "case " << i;
    }
  }
}

// The pipeline has no such tags: B- and E-, or S- alone.
TEST(TokenEntities, OfBioes) {
  const std::vector<TaggedWord> words = {
      {"B-PER", 0.5, 0, 2}, {"E-PER", 1, 3, 5}, {"S-LOC", 0.75, 6, 8}, {"S-LOC", 0.25, 9, 12}, {"O", 1, 12, 13}};
  const std::vector<FoundEntity> found = entities_of(words);
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(std::tuple(found[0].type, found[0].begin, found[0].end, found[0].score), std::tuple("PER", 0, 5, 0.75));
  EXPECT_EQ(std::tuple(found[1].type, found[1].begin, found[1].end, found[1].score), std::tuple("LOC", 6, 8, 0.75));
  EXPECT_EQ(std::tuple(found[2].type, found[2].begin, found[2].end, found[2].score), std::tuple("LOC", 9, 12, 0.25));
}

}  // namespace
}  // namespace berth::train
