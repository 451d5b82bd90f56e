#include "data/tokenizer/unicode.h"

#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/utf16.h>

#include <algorithm>
#include <iterator>

#include "data/check.h"

namespace berth::data::unicode {
namespace {

constexpr int kCategoryVersion = 8, kNormalizationVersion = 9;

// Code points whose category changed after Unicode 8, or which the reference's table holds wrongly.
constexpr char32_t kStillPunctuation[] = {0x166D, 0x111C9};                  // So and Mn since
constexpr char32_t kStillNonspacing[] = {0x1734};                            // Mc since 14
constexpr char32_t kNotYetNonspacing[] = {0x1885, 0x1886, 0xA9BD, 0x111C9};  // Lo, Lo, Mc, Po then

// Lower case added by Unicode 16 and 17, later than Debian 12's ICU.
struct CaseRange {
  char32_t first, last;
  int32_t delta;
  uint32_t step;
};
constexpr CaseRange kNewLowerCase[] = {
    {0x1C89, 0x1C89, 1, 1}, {0xA7CB, 0xA7CB, 0x264 - 0xA7CB, 1}, {0xA7CC, 0xA7CE, 1, 2},      {0xA7D2, 0xA7D4, 1, 2},
    {0xA7DA, 0xA7DA, 1, 1}, {0xA7DC, 0xA7DC, 0x19B - 0xA7DC, 1}, {0x10D50, 0x10D65, 0x20, 1}, {0x16EA0, 0x16EB8, 0x1B, 1}};

constexpr char32_t kCjk[][2] = {{0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},  {0x20000, 0x2A6DF},
                                {0x2A700, 0x2B81F}, {0x2B920, 0x2CEAF}, {0x2F800, 0x2FA1F}};  // 2B920 is the reference's own typo

template <class Table>
bool contains(const Table& table, char32_t c) {
  return std::find(std::begin(table), std::end(table), c) != std::end(table);
}

bool known_in(char32_t c, int version) {
  UVersionInfo age;
  u_charAge(static_cast<UChar32>(c), age);
  return age[0] <= version;
}

bool has_category(char32_t c, uint32_t mask) { return U_GET_GC_MASK(static_cast<UChar32>(c)) & mask; }

}  // namespace

bool is_whitespace(char32_t c) { return u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_WHITE_SPACE); }

bool is_removed_by_cleaning(char32_t c) {
  if (c == '\t' || c == '\n' || c == '\r') return false;
  if (c == 0 || c == 0xFFFD) return true;
  return has_category(c, U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK) && known_in(c, kCategoryVersion);
}

bool is_punctuation(char32_t c) {
  if (c < 0x80) return c > ' ' && c < 0x7F && !u_isalnum(static_cast<UChar32>(c));
  return (has_category(c, U_GC_P_MASK) && known_in(c, kCategoryVersion)) || contains(kStillPunctuation, c);
}

bool is_cjk(char32_t c) {
  return std::any_of(std::begin(kCjk), std::end(kCjk), [c](const auto& range) { return c >= range[0] && c <= range[1]; });
}

bool is_nonspacing_mark(char32_t c) {
  if (contains(kStillNonspacing, c)) return true;
  return has_category(c, U_GC_MN_MASK) && known_in(c, kCategoryVersion) && !contains(kNotYetNonspacing, c);
}

int combining_class(char32_t c) { return known_in(c, kNormalizationVersion) ? u_getCombiningClass(static_cast<UChar32>(c)) : 0; }

std::u32string decompose(char32_t c) {
  UErrorCode status = U_ZERO_ERROR;
  const UNormalizer2* nfd = unorm2_getNFDInstance(&status);
  check_internal(U_SUCCESS(status), "ICU cannot load its normalization data: ", u_errorName(status));
  UChar units[32];
  const int32_t size =
      known_in(c, kNormalizationVersion) ? unorm2_getDecomposition(nfd, static_cast<UChar32>(c), units, 32, &status) : -1;
  if (size < 0) return {c};
  std::u32string out;
  for (int32_t i = 0; i < size;) {
    UChar32 next;
    U16_NEXT(units, i, size, next);
    out += static_cast<char32_t>(next);
  }
  return out;
}

std::u32string lower_case(char32_t c) {
  if (c == 0x130) return U"i\u0307";  // the only code point with a longer lower case
  for (const CaseRange& range : kNewLowerCase)
    if (c >= range.first && c <= range.last && (c - range.first) % range.step == 0)
      return {c + static_cast<char32_t>(range.delta)};
  return {static_cast<char32_t>(u_tolower(static_cast<UChar32>(c)))};
}

void for_each_range(const std::function<void(char32_t, char32_t, bool)>& visit) {
  const auto forward = [](const void* context, UChar32 start, UChar32 limit, UCharCategory category) -> UBool {
    const bool uniform = category == U_PRIVATE_USE_CHAR || category == U_UNASSIGNED;
    (*static_cast<const std::function<void(char32_t, char32_t, bool)>*>(context))(
        static_cast<char32_t>(start), static_cast<char32_t>(limit - 1), uniform && limit - start > 4096);
    return true;
  };
  u_enumCharTypes(forward, &visit);
}

}  // namespace berth::data::unicode
