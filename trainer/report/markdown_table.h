// Tables that people read as they are, and browsers set.
#pragma once

#include <string>
#include <vector>

namespace berth::train {

// Of at least one row, the head; all rows have its width. Cells are padded with blanks to their column's widest, in code points.
std::string markdown_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace berth::train
