// Which rows of a table a step touches.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "data/check.h"

namespace berth::train {

// A bit for each row, so that sets of all ranks are united by one all-reduce (Communicator::all_reduce_or).
class RowSet {
 public:
  explicit RowSet(int64_t table_rows, std::span<const int32_t> rows = {})
      : table_rows_(table_rows), words_(static_cast<size_t>((table_rows + 63) / 64), 0) {
    add(rows);
  }

  // In any order, repetitions allowed. Throws Error(kInternal) for a row that the table does not have.
  void add(std::span<const int32_t> rows) {
    for (const int32_t row : rows) {
      check_internal(row >= 0 && row < table_rows_, "touched row ", row, " of a table of ", table_rows_);
      words_[static_cast<size_t>(row) / 64] |= uint64_t{1} << (row % 64);
    }
  }
  // Ascending.
  std::vector<int32_t> rows() const {
    std::vector<int32_t> rows;
    for (size_t word = 0; word < words_.size(); ++word)
      for (uint64_t rest = words_[word]; rest; rest &= rest - 1)
        rows.push_back(static_cast<int32_t>(word * 64 + static_cast<size_t>(std::countr_zero(rest))));
    return rows;
  }
  std::vector<uint64_t>& words() { return words_; }

 private:
  int64_t table_rows_;
  std::vector<uint64_t> words_;
};

}  // namespace berth::train
