// Plain values in an EvalRecord's payload: they only travel between the ranks of one job.
#pragma once

#include <cstring>
#include <string>
#include <type_traits>

#include "data/check.h"

namespace berth::train {

template <class T>
std::string pack(const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  return {reinterpret_cast<const char*>(&value), sizeof(T)};
}

template <class T>
T unpack(const std::string& payload) {
  static_assert(std::is_trivially_copyable_v<T>);
  check_internal(payload.size() == sizeof(T), "a record of ", payload.size(), " bytes, expected ", sizeof(T));
  T value;
  std::memcpy(&value, payload.data(), sizeof(T));
  return value;
}

}  // namespace berth::train
