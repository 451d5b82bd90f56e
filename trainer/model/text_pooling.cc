#include "trainer/model/text_pooling.h"

#include <array>

#include "data/check.h"
#include "data/words.h"

namespace berth::train {
namespace {

constexpr std::array<std::string_view, 4> kNames{"pooler", "cls", "mean", "max"};  // in the order of the enumeration

}  // namespace

TextPooling parse_text_pooling(const std::string& name) {
  for (size_t i = 0; i < kNames.size(); ++i)
    if (name == kNames[i]) return static_cast<TextPooling>(i);
  fail(ExitCode::kUsage, "--pooling ", name, " is not known; use ", joined(kNames, ", "));
}

std::string_view text_pooling_name(TextPooling pooling) { return kNames[static_cast<size_t>(pooling)]; }

}  // namespace berth::train
