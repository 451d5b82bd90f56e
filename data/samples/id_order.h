// The tokens of a batch in the order of their ids: what the gradient of an embedding table is summed by, each row of the table in
// an order of its own that no thread changes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace berth::data {

struct IdOrder {
  std::vector<int32_t> order;     // [T] tokens, by id, and of one id as they came
  std::vector<int32_t> segments;  // [S + 1] segment s of `order`, [segments[s], segments[s + 1]), has one id
  std::vector<int32_t> ids;       // [S] that id: ascending
};

// Ids count from 0 on; negative ones come last.
IdOrder order_by_id(std::span<const int32_t> ids);

}  // namespace berth::data
