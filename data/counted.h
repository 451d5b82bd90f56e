// Numbers with their nouns, for messages.
#pragma once

#include <string>

namespace berth {

// "1 row", "2 rows", "0 rows": `noun` is singular and takes an s.
template <class Number>
std::string counted(Number number, const std::string& noun) {
  return std::to_string(number) + " " + noun + (number == 1 ? "" : "s");
}

}  // namespace berth
