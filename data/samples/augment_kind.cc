#include "data/samples/augment_kind.h"

#include <utility>

#include "data/check.h"

namespace berth::data {
namespace {

constexpr std::pair<const char*, AugmentKind> kNames[] = {
    {"swap", AugmentKind::kSwap}, {"delete", AugmentKind::kDelete}, {"substitute", AugmentKind::kSubstitute}};

}  // namespace

std::string augment_name(AugmentKind kind) {
  for (const auto& [name, known] : kNames)
    if (known == kind) return name;
  return "none";
}

AugmentKind find_augment(const std::string& name) {
  for (const auto& [known, kind] : kNames)
    if (name == known) return kind;
  fail(ExitCode::kUsage, "the augmentation '", name, "' is not known; use swap, delete or substitute");
}

}  // namespace berth::data
