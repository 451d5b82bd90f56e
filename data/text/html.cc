#include "data/text/html.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>

#include "data/tokenizer/unicode.h"

namespace berth::data {
namespace {

constexpr size_t kNone = std::string_view::npos;
constexpr std::string_view kBlank = " \t\n\r\f";

constexpr std::string_view kElements[] = {
    "a",        "abbr",       "acronym",  "address", "applet", "area",    "article",    "aside",    "audio",    "b",
    "base",     "basefont",   "bdi",      "bdo",     "big",    "blink",   "blockquote", "body",     "br",       "button",
    "canvas",   "caption",    "center",   "cite",    "code",   "col",     "colgroup",   "data",     "datalist", "dd",
    "del",      "details",    "dfn",      "dialog",  "dir",    "div",     "dl",         "dt",       "em",       "embed",
    "fieldset", "figcaption", "figure",   "font",    "footer", "form",    "frame",      "frameset", "h1",       "h2",
    "h3",       "h4",         "h5",       "h6",      "head",   "header",  "hr",         "html",     "i",        "iframe",
    "img",      "input",      "ins",      "kbd",     "label",  "legend",  "li",         "link",     "main",     "map",
    "mark",     "marquee",    "menu",     "meta",    "meter",  "nav",     "nobr",       "noframes", "noscript", "object",
    "ol",       "optgroup",   "option",   "output",  "p",      "param",   "picture",    "pre",      "progress", "q",
    "rp",       "rt",         "ruby",     "s",       "samp",   "script",  "section",    "select",   "small",    "source",
    "span",     "strike",     "strong",   "style",   "sub",    "summary", "sup",        "svg",      "table",    "tbody",
    "td",       "template",   "textarea", "tfoot",   "th",     "thead",   "time",       "title",    "tr",       "track",
    "tt",       "u",          "ul",       "var",     "video",  "wbr"};
static_assert(std::is_sorted(std::begin(kElements), std::end(kElements)));

// The attributes that may stand without a value; "<b and c>" has none of them, so it is no tag.
constexpr std::string_view kFlags[] = {
    "allowfullscreen", "async",      "autofocus", "autoplay", "checked",  "compact",  "controls", "default", "defer",
    "disabled",        "download",   "hidden",    "ismap",    "loop",     "multiple", "muted",    "nohref",  "noresize",
    "noshade",         "novalidate", "nowrap",    "open",     "readonly", "required", "reversed", "selected"};
static_assert(std::is_sorted(std::begin(kFlags), std::end(kFlags)));

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }
bool is_letter(char c) { return lower(c) >= 'a' && lower(c) <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_blank(char c) { return kBlank.find(c) != kNone; }

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) { return lower(c); });
  return out;
}

template <size_t N>
bool contains(const std::string_view (&sorted)[N], std::string_view word) {
  return word.size() < 16 && std::binary_search(std::begin(sorted), std::end(sorted), lower(word));
}

// Reads one construct of markup. Quotes only ever swap the states in which overlapping attempts can be, so that at most three of
// them last, and searches that failed are not repeated: the whole is linear.
class Markup {
 public:
  explicit Markup(std::string_view text) : text_(text) {}

  // Where the construct that starts with the '<' at `begin` ends; `begin` if it is none.
  size_t end_of(size_t begin) {
    at_ = begin + 1;
    if (starts("!--")) return after(begin, begin + 4, "-->", comment_ends_);
    if (starts("!doctype")) return after(begin, at_, ">", declaration_ends_);
    if (starts("?xml")) return after(begin, at_, "?>", instruction_ends_);
    const bool closing = peek() == '/';
    at_ += closing;
    const std::string_view name = take([](char c) { return is_letter(c) || is_digit(c); });
    if (!contains(kElements, name) || !(closing ? close() : attributes())) return begin;
    const size_t end = at_;
    if (!closing && (lower(name) == "script" || lower(name) == "style")) return end_of_raw(end, lower(name));
    return end;
  }

 private:
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool starts(std::string_view lower_case) const { return lower(text_.substr(at_, lower_case.size())) == lower_case; }

  template <class Accept>
  std::string_view take(Accept accept) {
    const size_t begin = at_;
    while (at_ < text_.size() && accept(text_[at_])) ++at_;
    return text_.substr(begin, at_ - begin);
  }

  // `found`: whether there is still hope to find `mark`.
  size_t after(size_t begin, size_t from, std::string_view mark, bool& found) const {
    const size_t at = found ? text_.find(mark, from) : kNone;
    found = at != kNone;
    return found ? at + mark.size() : begin;
  }

  bool close() {
    take(is_blank);
    return at_ < text_.size() && text_[at_++] == '>';
  }

  bool attributes() {
    for (;;) {
      const bool blank = !take(is_blank).empty();
      if (peek() == '/') {
        ++at_;
        return close();
      }
      if (peek() == '>') return close();
      if (!blank || !attribute()) return false;
    }
  }

  bool attribute() {
    const std::string_view name = take([](char c) { return is_letter(c) || is_digit(c) || c == '-' || c == '_' || c == ':'; });
    if (name.empty()) return false;
    const size_t after_name = at_;
    take(is_blank);
    if (peek() != '=') {
      at_ = after_name;
      return contains(kFlags, name);
    }
    ++at_;
    take(is_blank);
    const char quote = peek();
    if (quote != '"' && quote != '\'')
      return !take([](char c) { return !is_blank(c) && std::string_view("\"'<>=`").find(c) == kNone; }).empty();
    const size_t end = text_.find(quote, at_ + 1);
    if (end == kNone) return false;
    at_ = end + 1;
    return true;
  }

  // The end of "</name>" after `from`; `from` if there is none.
  size_t end_of_raw(size_t from, const std::string& name) {
    bool& hope = name == "script" ? script_ends_ : style_ends_;
    for (size_t at = from; hope && (at = text_.find("</", at)) != kNone;) {
      at_ = at += 2;
      if (!starts(name)) continue;
      at_ += name.size();
      if (close()) return at_;
    }
    hope = false;
    return from;
  }

  std::string_view text_;
  size_t at_ = 0;
  bool comment_ends_ = true, declaration_ends_ = true, instruction_ends_ = true, script_ends_ = true, style_ends_ = true;
};

// What "&#N;" stands for, nothing for the code points that HTML forbids
// (https://html.spec.whatwg.org/multipage/parsing.html#numeric-character-reference-end-state, and Python's html.unescape).
std::optional<char32_t> numbered_reference(uint32_t number) {
  constexpr char32_t kReplacement = 0xFFFD;
  // 0x80 to 0x9F are taken for Windows-1252.
  constexpr std::array<char16_t, 32> kWindows1252{0x20AC, 0x81,   0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021,
                                                  0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8D,   0x017D, 0x8F,
                                                  0x90,   0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
                                                  0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x9D,   0x017E, 0x0178};
  if (number == 0 || number > 0x10FFFF || (number >= 0xD800 && number <= 0xDFFF)) return kReplacement;
  if (number >= 0x80 && number <= 0x9F) return kWindows1252[number - 0x80];
  const bool control = (number < 0x20 && number != '\t' && number != '\n' && number != '\f' && number != '\r') || number == 0x7F;
  const bool noncharacter = (number & 0xFFFE) == 0xFFFE || (number >= 0xFDD0 && number <= 0xFDEF);
  if (control || noncharacter) return std::nullopt;
  return number;
}

void append(std::string& out, char32_t code_point) {
  char bytes[4];
  out.append(bytes, unicode::encode(code_point, bytes));
}

// Appends what the '&' at `begin` stands for and returns where the text goes on; an unknown reference is text.
size_t decode_reference(std::string_view text, size_t begin, std::string& out) {
  size_t at = begin + 1;
  if (at < text.size() && text[at] == '#') {
    const bool hexadecimal = ++at < text.size() && lower(text[at]) == 'x';
    at += hexadecimal;
    const size_t first = at;
    uint32_t number = 0;
    for (; at < text.size() && (is_digit(text[at]) || (hexadecimal && lower(text[at]) >= 'a' && lower(text[at]) <= 'f')); ++at) {
      const auto digit = static_cast<uint32_t>(is_digit(text[at]) ? text[at] - '0' : lower(text[at]) - 'a' + 10);
      number = std::min<uint32_t>(number * (hexadecimal ? 16 : 10) + digit, 0x110000);
    }
    if (at > first) {
      if (const auto code_point = numbered_reference(number)) append(out, *code_point);
      return at + (at < text.size() && text[at] == ';');
    }
  } else {
    constexpr size_t kLongest = 16;
    const size_t end = text.substr(0, std::min(text.size(), at + kLongest)).find(';', at);
    const auto code_point = end == kNone ? std::nullopt : named_reference(text.substr(at, end - at));
    if (code_point) {
      append(out, *code_point);
      return end + 1;
    }
  }
  out += '&';
  return begin + 1;
}

}  // namespace

std::string strip_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  Markup markup(text);
  for (size_t at = 0; at < text.size();) {
    const size_t next = std::min(text.find_first_of("<&", at), text.size());
    out += text.substr(at, next - at);
    at = next;
    if (at == text.size()) break;
    if (text[at] == '&') {
      at = decode_reference(text, at, out);
      continue;
    }
    const size_t end = markup.end_of(at);
    out += end > at ? ' ' : '<';
    at = std::max(end, at + 1);
  }
  return out;
}

}  // namespace berth::data
