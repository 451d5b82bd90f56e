// Cleaning texts, the HTML in them among it.
#include "data/text/normalize.h"

#include "data/text/html.h"
#include "data/utf8.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth;
  std::string text(fuzz::text_of(data, size));
  if (data::find_invalid_utf8(text)) text = data::latin1_to_utf8(text);
  for (int options = 1; options < 8; ++options) {
    const bool html = options & 1, urls = options & 2, whitespace = options & 4;
    const std::string clean = data::normalize(text, {.html = html, .urls = urls, .whitespace = whitespace});
    fuzz::require(!data::find_invalid_utf8(clean), "valid UTF-8 comes out");
    fuzz::require(clean.size() <= 2 * text.size() + 8, "a text does not grow");
    if (whitespace) fuzz::require(data::collapse_whitespace(clean) == clean, "spaces are single");
  }
  return 0;
}
