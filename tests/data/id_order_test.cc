#include "data/samples/id_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

namespace berth::data {
namespace {

void expect_ordered(const std::vector<int32_t>& ids) {
  std::vector<int32_t> wanted(ids.size());
  std::iota(wanted.begin(), wanted.end(), 0);
  const auto id = [&](int32_t token) { return static_cast<uint32_t>(ids[static_cast<size_t>(token)]); };
  std::stable_sort(wanted.begin(), wanted.end(), [&](int32_t a, int32_t b) { return id(a) < id(b); });

  EXPECT_EQ(order_by_id(ids), wanted);
}

TEST(IdOrder, IsThatOfAStableSort) {
  expect_ordered({});
  expect_ordered({0});
  expect_ordered({0, 0, 0});
  expect_ordered({5, 0, 5, 2047, 2048, 2, 0, 4096, 30521, 2047});
  expect_ordered({1 << 30, -1, 3, 1 << 22, -1, (1 << 22) - 1, INT32_MAX});  // bad ids are no reason to break
  std::mt19937 random(7);
  for (uint32_t rows : {2u, 512u, 30522u, 1u << 24}) {
    std::vector<int32_t> ids(3000);
    for (int32_t& id : ids) id = static_cast<int32_t>(random() % rows);
    expect_ordered(ids);
  }
}

}  // namespace
}  // namespace berth::data
