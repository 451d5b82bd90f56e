#include <gtest/gtest.h>

#include "data/prepare/prepare.h"
#include "tests/data/prepare_fixture.h"

namespace berth::data {
namespace {

using namespace testing;

// A long row of 12 tokens and one of 9 among 18 of four.
std::string rows() {
  std::string text = "text,label\n";
  for (int i = 0; i < 18; ++i) text += concat("the film,", i % 2 == 0 ? "a" : "b", "\n");
  return text + "the film the film the film the film the film,a\nthe film the film the film the,b\n";
}

TEST_F(PrepareTest, TellsWhatWasCutAndWhatWouldCutLess) {
  auto with = options(rows());
  with.max_length = 8;
  const std::string report = describe(prepare(with));
  EXPECT_NE(report.find("median 4, 95% up to 8; 2 samples (10.0%) cut to 8, the longest from 12\n"), std::string::npos) << report;
  EXPECT_NE(report.find("  advice   --max-length 9 would cut 5.0%, if the model has so many positions; or --doc-stride 2 makes "
                        "windows of long texts\n"),
            std::string::npos)
      << report;
  with.max_length = 9;  // 5 % are cut
  EXPECT_EQ(describe(prepare(with)).find("advice"), std::string::npos);
  with.max_length = 8;
  with.doc_stride = 2;
  EXPECT_EQ(describe(prepare(with)).find("advice"), std::string::npos);
}

TEST_F(PrepareTest, WarnsOfACasedVocabularyWhoseTextsAreLowerCased) {
  auto with = options("text,label\nthe film,a\nfilms,b\n");
  EXPECT_EQ(describe(prepare(with)).find("warning"), std::string::npos);
  with.tokenizer = write_bytes(folder_ / "cased" / "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nThe\nfilm\n");
  EXPECT_TRUE(
      describe(prepare(with)).starts_with("warning: the texts are lower-cased, but the vocabulary has upper-case tokens"));
  with.do_lower_case = true;  // as asked
  EXPECT_EQ(describe(prepare(with)).find("warning"), std::string::npos);
}

}  // namespace
}  // namespace berth::data
