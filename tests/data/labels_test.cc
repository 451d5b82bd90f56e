#include "data/features/labels.h"

#include <gtest/gtest.h>

#include "tests/data/dataset_file.h"

namespace berth::data {
namespace {

using namespace testing;

TEST(Labels, SortByValueIfAllAreIntegersElseByBytes) {
  const struct {
    LabelCounts counts;
    std::vector<std::string> names;
  } cases[] = {
      {{{"10", 1}, {"9", 1}, {"-1", 1}}, {"-1", "9", "10"}},
      {{{"10", 1}, {"9", 1}, {"x", 1}}, {"10", "9", "x"}},
      {{{"spam", 1}, {"Ham", 1}, {"ham", 1}}, {"Ham", "ham", "spam"}},
      {{{"1.0", 1}, {"0.0", 1}}, {"0.0", "1.0"}},
      {{{"é", 1}, {"z", 1}}, {"z", "é"}},
  };
  for (const auto& [counts, names] : cases) EXPECT_EQ(sort_labels(counts), names);
}

TEST(Labels, AreFoundOrListed) {
  const LabelSet labels({"b", "a"});
  EXPECT_EQ(labels.index("a"), 1);
  EXPECT_EQ(error_of([&] { labels.index("c"); }), "unknown label 'c'; the 2 labels are: b, a (--label-names names all)");
  EXPECT_EQ(error_of([&] { LabelSet({"a", "a"}); }), "the label 'a' is named twice");
  EXPECT_NE(error_of([&] { LabelSet({""}); }), "");
}

}  // namespace
}  // namespace berth::data
