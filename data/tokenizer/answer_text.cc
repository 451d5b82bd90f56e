#include "data/tokenizer/answer_text.h"

#include <unicode/locid.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

namespace berth::data {
namespace {

// string.punctuation: all printable ASCII characters but letters, digits and the space.
bool is_ascii_punctuation(UChar32 c) { return c > 0x20 && c < 0x7F && !u_isalnum(c); }

// str.split(): bidirectional types WS, B and S, and category Zs.
bool is_space(UChar32 c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

// \w of re: letters, whatever has a numeric value, the underscore.
bool is_word_character(UChar32 c) {
  return u_isalpha(c) || u_getIntPropertyValue(c, UCHAR_NUMERIC_TYPE) != U_NT_NONE || c == '_';
}

// Whole runs of word characters that are articles become spaces: \b(a|an|the)\b.
icu::UnicodeString without_articles(const icu::UnicodeString& text) {
  icu::UnicodeString out;
  for (int32_t begin = 0; begin < text.length();) {
    int32_t end = begin;
    while (end < text.length() && is_word_character(text.char32At(end))) end = text.moveIndex32(end, 1);
    if (end == begin) {
      out.append(text.char32At(begin));
      begin = text.moveIndex32(begin, 1);
      continue;
    }
    const icu::UnicodeString run(text, begin, end - begin);
    const bool article = run == u"a" || run == u"an" || run == u"the";
    out.append(article ? icu::UnicodeString(u" ") : run);
    begin = end;
  }
  return out;
}

}  // namespace

std::vector<std::string> answer_words(std::string_view text) {
  const auto lower = icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), static_cast<int32_t>(text.size())))
                         .toLower(icu::Locale::getRoot());
  icu::UnicodeString bare;
  for (int32_t i = 0; i < lower.length(); i = lower.moveIndex32(i, 1)) {
    if (const UChar32 c = lower.char32At(i); !is_ascii_punctuation(c)) bare.append(c);
  }
  const icu::UnicodeString kept = without_articles(bare);
  std::vector<std::string> words;
  icu::UnicodeString word;
  for (int32_t i = 0; i <= kept.length(); i = kept.moveIndex32(i, 1)) {
    if (i < kept.length() && !is_space(kept.char32At(i))) {
      word.append(kept.char32At(i));
      continue;
    }
    if (!word.isEmpty()) word.toUTF8String(words.emplace_back());
    word.remove();
    if (i == kept.length()) break;
  }
  return words;
}

}  // namespace berth::data
