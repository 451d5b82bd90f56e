// The tokens of a batch in the order of their ids: what the gradient of an embedding table is summed by, each row of the table in
// an order of its own that no thread changes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace berth::data {

// Token numbers, 0 to T - 1, sorted by their ids [T], those of one id as they came. Ids count from 0 on; negative ones come last.
std::vector<int32_t> order_by_id(std::span<const int32_t> ids);

}  // namespace berth::data
