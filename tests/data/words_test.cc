#include "data/words.h"

#include <gtest/gtest.h>

namespace berth {
namespace {

using Strings = std::vector<std::string>;

TEST(Counted, OneIsSingular) {
  EXPECT_EQ(counted(0, "row"), "0 rows");
  EXPECT_EQ(counted(1, "row"), "1 row");
  EXPECT_EQ(counted(2, "row"), "2 rows");
}

TEST(Joined, SeparatesWhatThereIs) {
  EXPECT_EQ(joined(Strings{}), "");
  EXPECT_EQ(joined(Strings{"", "b"}), ", b");
  EXPECT_EQ(joined(std::vector<int>{1, 2, 3}, "/"), "1/2/3");
  EXPECT_EQ(joined(Strings{"ab", "c"}, ", ", &std::string::size), "2, 1");
}

TEST(Listed, StopsWithAnEllipsis) {
  EXPECT_EQ(listed(Strings{"a", "b"}, 2), "a, b");
  EXPECT_EQ(listed(Strings{"a", "b", "c"}, 2), "a, b, …");
  EXPECT_EQ(listed(Strings{}, 2), "");
}

TEST(EditDistance, CountsInsertionsDeletionsAndSubstitutions) {
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("abc", "abc"), 0u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance("--num-epoch", "--num-epochs"), 1u);
}

}  // namespace
}  // namespace berth
