// UTF-8 at the border: text from outside is checked once, everything behind relies on it.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace berth::data {

// Position of the first byte that does not start a well-formed sequence (Unicode table 3-7: overlong forms, surrogates and code
// points above U+10FFFF are refused), or nothing if all of `text` is UTF-8.
std::optional<size_t> find_invalid_utf8(std::string_view text);

// Reads each byte as the code point of the same number (ISO 8859-1).
std::string latin1_to_utf8(std::string_view bytes);

}  // namespace berth::data
