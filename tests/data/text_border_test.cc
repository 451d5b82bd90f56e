// utf8.h and sha256.h: what stands between the files and everything else.
#include <gtest/gtest.h>

#include <string>

#include "data/check.h"
#include "data/files/sha256.h"
#include "data/utf8.h"

namespace berth::data {
namespace {

std::string encode(uint32_t c) {  // also of what is not a code point: the bit pattern only
  if (c < 0x80) return {static_cast<char>(c)};
  if (c < 0x800) return {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 63))};
  if (c < 0x10000)
    return {static_cast<char>(0xE0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 63)), static_cast<char>(0x80 | (c & 63))};
  return {static_cast<char>(0xF0 | c >> 18), static_cast<char>(0x80 | (c >> 12 & 63)), static_cast<char>(0x80 | (c >> 6 & 63)),
          static_cast<char>(0x80 | (c & 63))};
}

TEST(Utf8, AcceptsEveryCodePointAndNoSurrogate) {
  for (uint32_t c = 0; c < 0x140000; ++c) {
    const bool valid = c < 0x110000 && (c < 0xD800 || c > 0xDFFF);
    const std::string text = std::string("a").append(encode(c)).append("b");
    ASSERT_EQ(find_invalid_utf8(text), valid ? std::nullopt : std::optional<size_t>(1)) << std::hex << c;
    for (size_t cut = 2; valid && cut < text.size() - 1; ++cut)
      ASSERT_EQ(find_invalid_utf8(text.substr(0, cut)), std::optional<size_t>(1)) << std::hex << c;
  }
}

TEST(Utf8, NamesTheFirstBadByte) {
  const struct {
    std::string text;
    std::optional<size_t> position;
  } cases[] = {
      {"", std::nullopt},
      {"plain ASCII, longer than eight bytes", std::nullopt},
      {"na\xC3\xAFve \xF0\x9F\x98\x80", std::nullopt},
      {"caf\xE9 au lait", 3},          // Latin-1
      {"0123456789\x80", 10},          // stray continuation
      {"0123456\xC3", 7},              // truncated
      {"a\xC0\x80", 1},                // overlong NUL
      {"a\xE0\x80\xAF", 1},            // overlong slash
      {"a\xF0\x80\x80\xAF", 1},        //
      {"ab\xED\xA0\x80", 2},           // surrogate
      {"ab\xF4\x90\x80\x80", 2},       // above U+10FFFF
      {"ab\xF5\x80\x80\x80", 2},       //
      {"\xFF\xFEh\0i\0", 0},           // UTF-16
      {"\xC3\xA4\xC3\xA4\xC3\x28", 4}  // good ones before
  };
  for (const auto& c : cases) EXPECT_EQ(find_invalid_utf8(c.text), c.position) << c.text;
}

TEST(Utf8, WhatATerminalWouldObeyIsEscaped) {
  EXPECT_EQ(printable("plain, é, 中, \xF0\x9F\x98\x80"), "plain, é, 中, \xF0\x9F\x98\x80");
  EXPECT_EQ(printable(std::string_view("\0\t\n\x1b[31m\x7f", 9)), "\\x00\\x09\\x0a\\x1b[31m\\x7f");
  EXPECT_EQ(printable("\xC2\x9B"
                      "2J \xC2\xA0"),
            "\\xc2\\x9b2J \xC2\xA0");
  EXPECT_EQ(printable("\xC3\x9B \xFFz \xE4\xB8"), "\xC3\x9B \\xffz \\xe4\\xb8");
  EXPECT_EQ(printable_lines("a\r\nb"), "a\\x0d\nb");
}

TEST(Utf8, ReadsLatin1) {
  EXPECT_EQ(latin1_to_utf8("caf\xE9 \xA3\xFF"), "caf\xC3\xA9 \xC2\xA3\xC3\xBF");
  std::string all(256, '\0');
  for (int i = 0; i < 256; ++i) all[i] = static_cast<char>(i);
  EXPECT_EQ(latin1_to_utf8(all).size(), 128u + 2 * 128u);
  EXPECT_EQ(find_invalid_utf8(latin1_to_utf8(all)), std::nullopt);
}

// The examples of FIPS 180-4.
TEST(Sha256, MatchesThePublishedDigests) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Sha256 in_pieces;
  for (int i = 0; i < 1000; ++i) in_pieces.update(std::string(1000, 'a'));
  EXPECT_EQ(in_pieces.hex(), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

}  // namespace
}  // namespace berth::data
