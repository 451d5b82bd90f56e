#include "data/utf8.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace berth::data {
namespace {

// Length of the well-formed sequence at `p`, 0 if there is none. `left` > 0 bytes may be read.
size_t sequence_length(const unsigned char* p, size_t left) {
  const auto continues = [&](size_t i) { return i < left && (p[i] & 0xC0) == 0x80; };
  const unsigned lead = p[0];
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4 || !continues(1)) return 0;
  if (lead < 0xE0) return 2;
  const unsigned second = p[1];
  if (lead < 0xF0) {
    const bool overlong = lead == 0xE0 && second < 0xA0, surrogate = lead == 0xED && second > 0x9F;
    return !overlong && !surrogate && continues(2) ? 3 : 0;
  }
  const bool overlong = lead == 0xF0 && second < 0x90, too_high = lead == 0xF4 && second > 0x8F;
  return !overlong && !too_high && continues(2) && continues(3) ? 4 : 0;
}

bool is_control(unsigned char first, unsigned char second) {
  return first < 0x20 || first == 0x7F || (first == 0xC2 && second < 0xA0);
}

std::string escaped(std::string_view text, bool keep_lines) {
  constexpr const char* kHex = "0123456789abcdef";
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  std::string out;
  for (size_t i = 0, length; i < text.size(); i += length) {
    length = sequence_length(p + i, text.size() - i);
    const bool plain = length > 0 && !is_control(p[i], p[i + length - 1]);
    length = std::max<size_t>(length, 1);
    if (plain || (keep_lines && p[i] == '\n')) {
      out += text.substr(i, length);
      continue;
    }
    for (size_t byte = i; byte < i + length; ++byte) {
      out += "\\x";
      out += kHex[p[byte] >> 4];
      out += kHex[p[byte] & 15];
    }
  }
  return out;
}

}  // namespace

std::string printable(std::string_view text) { return escaped(text, false); }

std::string printable_lines(std::string_view text) { return escaped(text, true); }

std::optional<size_t> find_invalid_utf8(std::string_view text) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  for (size_t i = 0; i < text.size();) {
    uint64_t eight;
    if (i + sizeof eight <= text.size()) {
      std::memcpy(&eight, p + i, sizeof eight);
      if ((eight & 0x8080808080808080u) == 0) {
        i += sizeof eight;
        continue;
      }
    }
    const size_t length = sequence_length(p + i, text.size() - i);
    if (length == 0) return i;
    i += length;
  }
  return std::nullopt;
}

int64_t count_code_points(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

std::string_view slice_code_points(std::string_view text, int64_t begin, int64_t end) {
  size_t first = text.size(), last = text.size();
  int64_t count = 0;
  for (size_t i = 0; i < text.size() && last == text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0) == 0x80) continue;
    if (count == begin) first = i;
    if (count == end) last = i;
    ++count;
  }
  return text.substr(first, std::max(first, last) - first);
}

std::string latin1_to_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() + bytes.size() / 8);
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      out += c;
    } else {
      out += static_cast<char>(0xC0 | byte >> 6);
      out += static_cast<char>(0x80 | (byte & 0x3F));
    }
  }
  return out;
}

}  // namespace berth::data
