// How a sample's text was made out of that of its row (data/text/augment.h).
#pragma once

#include <cstdint>
#include <string>

namespace berth::data {

// The values are those of the store (schema.h).
enum class AugmentKind : uint8_t { kNone = 0, kSwap = 1, kDelete = 2, kSubstitute = 3 };
inline constexpr uint8_t kLastAugmentKind = 3;
std::string augment_name(AugmentKind kind);         // "swap", "delete", "substitute"
AugmentKind find_augment(const std::string& name);  // Throws Error(kUsage).

}  // namespace berth::data
