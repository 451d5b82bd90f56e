#include "data/samples/id_order.h"

#include <algorithm>
#include <numeric>

namespace berth::data {
namespace {

constexpr int kDigitBits = 11;  // two passes for any vocabulary, one for positions and segments

// One pass of a radix sort, by the digit that begins at bit `shift`.
void sort_by_digit(std::span<const int32_t> ids, int shift, std::vector<int32_t>& order, std::vector<int32_t>& sorted) {
  const auto digit = [&](int32_t token) {
    return static_cast<uint32_t>(ids[static_cast<size_t>(token)]) >> shift & ((1u << kDigitBits) - 1);
  };
  std::vector<int32_t> begin((1 << kDigitBits) + 1, 0);
  for (int32_t token : order) ++begin[digit(token) + 1];
  std::partial_sum(begin.begin(), begin.end(), begin.begin());
  for (int32_t token : order) sorted[static_cast<size_t>(begin[digit(token)]++)] = token;
  order.swap(sorted);
}

}  // namespace

std::vector<int32_t> order_by_id(std::span<const int32_t> ids) {
  std::vector<int32_t> order(ids.size()), other(ids.size());
  std::iota(order.begin(), order.end(), 0);
  uint32_t highest = 0;
  for (int32_t id : ids) highest = std::max(highest, static_cast<uint32_t>(id));
  for (int shift = 0; shift < 32 && highest >> shift > 0; shift += kDigitBits) sort_by_digit(ids, shift, order, other);
  return order;
}

}  // namespace berth::data
