// Texts cut out of web pages (reviews with "<br />", issues with "&lt;") as the plain text that they show.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace berth::data {

// Each tag of HTML, comment, <!DOCTYPE …> and <?xml …?> becomes a space, script and style elements with all that is in them too.
// Then character references are decoded, once: "&amp;lt;" becomes "&lt;". What only looks like HTML stays: a tag needs the name
// of an HTML element and well-formed attributes, so "a < b and c > d", "x<3", "vector<int>" and an unfinished "<!--" are text.
// Valid UTF-8 in and out, in linear time.
std::string strip_html(std::string_view text);

// The code point of a named character reference ("amp", "hellip"): those of HTML 4 and a few more.
std::optional<char32_t> named_reference(std::string_view name);

}  // namespace berth::data
