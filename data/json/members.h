// Members of objects from outside, as what they must be.
#pragma once

#include <type_traits>
#include <utility>

#include "data/json/json.h"

namespace berth::data {

// `object`'s member `key` into `value`. Throws nlohmann's exceptions where it is not there or of another type, and Error(kBadInput)
// for an integer that is none or does not fit, which nlohmann would make of any number.
template <class Json, class T>
void read_member(const Json& object, const char* key, T& value) {
  const Json& member = object.at(key);
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    const bool fits = member.is_number_unsigned()
                          ? std::in_range<T>(member.template get<uint64_t>())
                          : member.is_number_integer() && std::in_range<T>(member.template get<int64_t>());
    check(fits, key, " must be a whole number of ", sizeof(T), " bytes, but is ", dump_json(member).substr(0, 80));
  }
  member.get_to(value);
}

}  // namespace berth::data
