#include "data/text/normalize.h"

#include <algorithm>
#include <utility>

#include "data/check.h"
#include "data/text/html.h"
#include "data/tokenizer/unicode.h"

namespace berth::data {
namespace {

// The property White_Space of Unicode's PropList.txt.
bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
         c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_alphanumeric(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool starts_with(std::string_view text, size_t at, std::string_view lower_case) {
  if (text.size() - at < lower_case.size()) return false;
  return std::equal(lower_case.begin(), lower_case.end(), text.begin() + static_cast<ptrdiff_t>(at),
                    [](char a, char b) { return a == (b >= 'A' && b <= 'Z' ? b - 'A' + 'a' : b); });
}

// White space, what quotes or brackets an address in running text, and CJK and full-width punctuation, which follow it without a
// space.
bool ends_address(char32_t c) {
  return is_white_space(c) || c < 0x20 ||
         (c < 0x80 && std::string_view("<>\"`|{}^\\").find(static_cast<char>(c)) != std::string_view::npos) ||
         (c >= 0x2018 && c <= 0x201F) || (c >= 0x3000 && c <= 0x303F) || (c >= 0xFF00 && c <= 0xFF0F);
}

// Without the punctuation of the sentence around it; a closing bracket belongs to the address if its opening one does.
std::string_view trim_address(std::string_view address) {
  const auto surplus = [&](char closing, char opening) {
    return std::count(address.begin(), address.end(), closing) - std::count(address.begin(), address.end(), opening);
  };
  auto round = surplus(')', '('), square = surplus(']', '[');
  for (; !address.empty(); address.remove_suffix(1)) {
    const char last = address.back();
    const bool unopened = (last == ')' && round-- > 0) || (last == ']' && square-- > 0);
    if (!unopened && std::string_view(".,;:!?'*_~").find(last) == std::string_view::npos) break;
  }
  return address;
}

// Bytes of the web address at `at`; 0 if there is none.
size_t web_address(std::string_view text, size_t at) {
  constexpr std::string_view kStarts[] = {"http://", "https://", "ftp://", "www."};
  const auto* start = std::find_if(std::begin(kStarts), std::end(kStarts), [&](auto s) { return starts_with(text, at, s); });
  if (start == std::end(kStarts) || (at > 0 && is_alphanumeric(text[at - 1]))) return 0;
  size_t end = at + start->size();
  if (end == text.size() || !(is_alphanumeric(text[end]) || text[end] == '[' || (text[end] & 0x80) != 0)) return 0;
  while (end < text.size()) {
    const auto [code_point, length] = unicode::decode(text.data() + end);
    if (ends_address(code_point)) break;
    end += length;
  }
  const std::string_view address = trim_address(text.substr(at, end - at));
  const bool host =
      address.size() > start->size() && (*start != "www." || address.find('.', start->size()) != std::string_view::npos);
  return host ? address.size() : 0;
}

// The e-mail address around the '@' at `at`, which may begin at `from` at the earliest: its begin and end, equal if there is
// none.
std::pair<size_t, size_t> mail_address(std::string_view text, size_t from, size_t at) {
  constexpr size_t kLongestName = 64;  // RFC 5321
  size_t begin = at, end = at + 1, dot = 0;
  while (begin > from && at - begin < kLongestName &&
         (is_alphanumeric(text[begin - 1]) || std::string_view("._%+-").find(text[begin - 1]) != std::string_view::npos))
    --begin;
  while (begin < at && !is_alphanumeric(text[begin])) ++begin;
  for (; end < text.size() && (is_alphanumeric(text[end]) || text[end] == '-' || text[end] == '.'); ++end) {
    if (text[end] != '.') continue;
    if (end + 1 == text.size() || !is_alphanumeric(text[end + 1])) break;
    dot = end;
  }
  const bool whole = begin < at && dot > at + 1 && end - dot > 2;
  return whole ? std::pair(begin, end) : std::pair(at, at);
}

}  // namespace

std::string replace_links(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  size_t copied = 0;  // of the text, up to here
  const auto replace = [&](size_t begin, size_t end, std::string_view word) {
    out.append(text.substr(copied, begin - copied)).append(word);
    copied = end;
  };
  for (size_t at = 0; (at = text.find_first_of("hHfFwW@", at)) != std::string_view::npos;) {
    if (text[at] == '@') {
      const auto [begin, end] = mail_address(text, copied, at);
      if (end > begin) replace(begin, end, "email");
      at = std::max(end, at + 1);
    } else {
      const size_t length = web_address(text, at);
      if (length > 0) replace(at, at + length, "url");
      at += std::max<size_t>(length, 1);
    }
  }
  out.append(text.substr(copied));
  return out;
}

std::string collapse_whitespace(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  bool space = false;
  for (size_t at = 0; at < text.size();) {
    const auto [code_point, length] = unicode::decode(text.data() + at);
    if (is_white_space(code_point)) {
      space = !out.empty();
    } else {
      if (std::exchange(space, false)) out += ' ';
      out.append(text.substr(at, length));
    }
    at += length;
  }
  return out;
}

std::string normalize(const std::string& text, const NormalizeOptions& options) {
  std::string out = options.html ? strip_html(text) : text;
  if (options.urls) out = replace_links(out);
  if (options.whitespace) out = collapse_whitespace(out);
  return out;
}

void normalize(Record& record, const NormalizeOptions& options) {
  if (!options.any()) return;
  record.text = normalize(record.text, options);
  record.text_pair = normalize(record.text_pair, options);
  for (std::string& choice : record.choices) choice = normalize(choice, options);
}

}  // namespace berth::data
