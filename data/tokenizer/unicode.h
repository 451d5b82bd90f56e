// Unicode as Hugging Face's `tokenizers` sees it, code point by code point.
//
// That library mixes tables of several Unicode versions: general categories of version 8 (crate unicode_categories),
// decompositions and combining classes of version 9 (unicode-normalization-alignments), lower case of version 17 (the Rust
// standard library). Here the properties come from ICU, whatever its version, cut by the age of each code point, plus the few
// exceptions listed in unicode.cc. tests/data/tokenizer_test.cc compares every code point.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace berth::data::unicode {

constexpr char32_t kCodePoints = 0x110000;

// What clean_text removes: NUL, U+FFFD and the categories Cc, Cf, Co; tab, newline and carriage return are white space instead.
bool is_removed_by_cleaning(char32_t c);
bool is_whitespace(char32_t c);
// Categories P*, and all ASCII characters that are neither letters, digits, control characters nor the space.
bool is_punctuation(char32_t c);
// The ideograph blocks that BERT surrounds with spaces.
bool is_cjk(char32_t c);
// Category Mn: what strip_accents removes after decomposition.
bool is_nonspacing_mark(char32_t c);
int combining_class(char32_t c);
// Full canonical decomposition (NFD) of one code point; itself if it has none.
std::u32string decompose(char32_t c);
// Lower case of one code point without context (no final sigma).
std::u32string lower_case(char32_t c);

// Calls visit(first, last) for ranges that cover all code points in order; within a `uniform` range all code points have the same
// properties and neither decomposition nor case (unassigned or private use).
void for_each_range(const std::function<void(char32_t first, char32_t last, bool uniform)>& visit);

// Code point of the sequence that starts at `p` in valid UTF-8, and its length in bytes.
struct Decoded {
  char32_t code_point;
  uint32_t length;
};
inline Decoded decode(const char* text) {
  const auto* p = reinterpret_cast<const unsigned char*>(text);
  const char32_t lead = p[0];
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xE0) return {(lead & 0x1F) << 6 | (p[1] & 0x3Fu), 2};
  if (lead < 0xF0) return {(lead & 0x0F) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu), 3};
  return {(lead & 0x07) << 18 | (p[1] & 0x3Fu) << 12 | (p[2] & 0x3Fu) << 6 | (p[3] & 0x3Fu), 4};
}

// Writes the UTF-8 of a code point (1 to 4 bytes) and returns the length.
inline uint32_t encode(char32_t c, char* out) {
  const auto put = [&](int i, char32_t byte) { out[i] = static_cast<char>(byte); };
  if (c < 0x80) return put(0, c), 1;
  if (c < 0x800) return put(0, 0xC0 | c >> 6), put(1, 0x80 | (c & 0x3F)), 2;
  if (c < 0x10000) return put(0, 0xE0 | c >> 12), put(1, 0x80 | (c >> 6 & 0x3F)), put(2, 0x80 | (c & 0x3F)), 3;
  return put(0, 0xF0 | c >> 18), put(1, 0x80 | (c >> 12 & 0x3F)), put(2, 0x80 | (c >> 6 & 0x3F)), put(3, 0x80 | (c & 0x3F)), 4;
}

}  // namespace berth::data::unicode
