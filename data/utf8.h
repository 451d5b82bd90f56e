// UTF-8 at the border: text from outside is checked once, everything behind relies on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace berth::data {

// Position of the first byte that does not start a well-formed sequence (Unicode table 3-7: overlong forms, surrogates and code
// points above U+10FFFF are refused), or nothing if all of `text` is UTF-8.
std::optional<size_t> find_invalid_utf8(std::string_view text);

// Of valid UTF-8: how many code points it has, and its code points [begin, end), cut at its end as Python's slices are.
int64_t count_code_points(std::string_view text);
std::string_view slice_code_points(std::string_view text, int64_t begin, int64_t end);

// `text` for a terminal, which must not obey what stands in files: control characters (U+0000 to U+001F, U+007F to U+009F) and bytes
// that are not UTF-8 are shown as "\x1b", each byte of them.
std::string printable(std::string_view text);
// The same but for the ends of lines, which stay.
std::string printable_lines(std::string_view text);

// Reads each byte as the code point of the same number (ISO 8859-1).
std::string latin1_to_utf8(std::string_view bytes);

}  // namespace berth::data
