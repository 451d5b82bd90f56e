// Which scheme the tags of a file follow, and how often they break it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace berth::data {

class TagSchemes {
 public:
  // The tags of one sentence.
  void add(const std::vector<std::string>& tags, int64_t row);
  // "IOB2", or "IOB2, which does not hold for 3 tags, the first in row 17: …"; "" if no tag has a prefix (B-, I-, E-, S-).
  std::string describe() const;

 private:
  struct Breaks {
    int64_t tags = 0, first_row = 0;
  };
  bool prefixed_ = false;
  std::array<Breaks, 3> breaks_;
};

}  // namespace berth::data
