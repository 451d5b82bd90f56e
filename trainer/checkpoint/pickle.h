// Reads the part of Python's pickle format that state dicts use, as plain values. Nothing is called: "reduce" gives a kCall value
// that the caller interprets, and only for the callables it allows. Opcodes: CPython's Lib/pickletools.py, protocols 2 to 5.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace berth::train {

// A pickle's values refer to each other by index, so that shared and cyclic ones are no trouble. Memory is bounded by the
// pickle's size.
using PickleRef = uint32_t;

struct PickleValue {
  enum class Kind { kNone, kBool, kInt, kLong, kFloat, kString, kTuple, kList, kDict, kGlobal, kCall, kPersistent };
  Kind kind = Kind::kNone;
  int64_t integer = 0;  // kBool, kInt
  std::string text;     // kString; kLong: its bytes, little-endian; kGlobal: "module name"
  std::vector<PickleRef>
      items;  // kTuple, kList; kDict: key, value, key, value, …; kCall: callable, arguments; kPersistent: its id
};

struct Pickle {
  std::vector<PickleValue> values;
  PickleRef root = 0;
  size_t size = 0;  // bytes up to and including STOP

  const PickleValue& operator[](PickleRef ref) const { return values[ref]; }
};

// Reads one pickle from the start of `bytes`. collections.OrderedDict is read as kDict; attributes set on it are dropped. Throws
// Error(kBadInput), beginning with `origin`, for opcodes or globals that are not allowed (by name) and for damaged pickles.
Pickle read_pickle(std::string_view bytes, std::span<const std::string_view> allowed_globals, const std::string& origin);

}  // namespace berth::train
