// JSON from outside, and JSON for others: the only place that parses or prints it (include_rules.py looks). Whatever is parsed here
// is at most JsonLimits::depth deep, so that what recurses over it (printing, describing) cannot overflow the stack.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "data/check.h"

namespace berth::data {

// A value takes at most 32 times the size of its text (lists of empty objects), and 128 bytes for each value and key it counts.
struct JsonLimits {
  uint64_t bytes = uint64_t{64} << 20;
  size_t depth = 64;          // of brackets
  size_t values = 4'000'000;  // all of them, nested ones too
};
// For what berth itself hands from rank to rank.
inline constexpr JsonLimits kOwnJson{.bytes = std::numeric_limits<uint64_t>::max(), .values = std::numeric_limits<size_t>::max()};

// `text` as one value, of nlohmann::json (of equal keys the last counts) or nlohmann::ordered_json (equal keys are refused). Throws
// Error(`failure`): "`origin`: not valid JSON: …" with line and column, or which limit it exceeds (an empty origin: without it).
template <class Json = nlohmann::json>
Json parse_json(std::string_view text, std::string_view origin, const JsonLimits& limits = {},
                ExitCode failure = ExitCode::kBadInput);

// The same; nothing if it is not JSON or exceeds the limits.
template <class Json = nlohmann::json>
std::optional<Json> find_json(std::string_view text, const JsonLimits& limits = {});

// On one line, or indented by `indent` spaces a level. What is not UTF-8 becomes U+FFFD. `ascii`: everything else is escaped.
template <class Json>
std::string dump_json(const Json& value, int indent = -1, bool ascii = false);

}  // namespace berth::data
