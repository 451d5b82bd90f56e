#include "data/text/normalize.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "data/text/html.h"
#include "data/utf8.h"
#include "tests/data/dataset_file.h"

namespace berth::data {
namespace {

using namespace testing;

struct Case {
  const char *text, *expected;
};

TEST(StripHtml, MarkupBecomesASpace) {
  const Case cases[] = {
      {"good.<br /><br />Bad", "good.  Bad"},
      {"<p>one</p><P CLASS=x>two</P >", " one  two "},
      {R"(see <a href="http://x.org/?a>b" title='it"s'>this</a>!)", "see  this !"},
      {"<img src=a.png alt=\"\"/>x<input disabled>y", " x y"},
      {"a<!-- hidden <b> -->b", "a b"},
      {"<!DOCTYPE html><html lang='en'>x", "  x"},
      {"<?xml version=\"1.0\"?>x", " x"},
      {"a<script type=x>if (a < b) alert('</b>')</script >b<style>p {}</STYLE>c", "a b c"},
      {"<h1\n id = top >x", " x"},
      {"<br/><b\t>", "  "},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(strip_html(text), expected) << text;
}

TEST(StripHtml, WhatOnlyLooksLikeMarkupStays) {
  for (const char* text : {"a < b and c > d",
                           "x<3",
                           "<3",
                           "vector<int> v; map<string, list<T>>",
                           "a<b and c>d",
                           "if (x<y && y>z)",
                           "<",
                           ">",
                           "<>",
                           "</>",
                           "< br>",
                           "<br",
                           "<a href=",
                           "<a href=\"x",
                           "<!-- open",
                           "<-- arrow",
                           "<!doctype",
                           "<john@example.org>",
                           "<p and q>",
                           "<b \"quoted\">",
                           "<a b=c\"d>",
                           "<foo>",
                           "<h7>"}) {
    EXPECT_EQ(strip_html(text), text);
  }
}

TEST(StripHtml, BracketsAroundATagStay) { EXPECT_EQ(strip_html("a <<b>> c<b<i>"), "a < > c<b "); }

TEST(StripHtml, AScriptWithoutAnEndLosesItsTagAlone) {
  EXPECT_EQ(strip_html("a<script>b</scripts>c<b>d"), "a b</scripts>c d");
  EXPECT_EQ(strip_html("<style>a</style><style>b"), "  b");
}

TEST(StripHtml, ReferencesAreDecodedAsPythonDoes) {
  std::ifstream in(std::string(BERTH_SOURCE_DIR) + "/tests/golden/html_references.json");
  const auto cases = nlohmann::json::parse(in);
  ASSERT_GT(cases.size(), 1000u);
  for (const auto& one : cases) EXPECT_EQ(strip_html(one[0].get<std::string>()), one[1].get<std::string>()) << one[0];
}

TEST(StripHtml, ReferencesAreDecodedOnceAndNeverBecomeMarkup) {
  EXPECT_EQ(strip_html("&lt;br&gt; &amp;lt;"), "<br> &lt;");
  EXPECT_EQ(strip_html("?a=1&copy=2&lt=3"), "?a=1&copy=2&lt=3");
  EXPECT_EQ(strip_html("&nosuchname; &verylongnamethatnobodyknows;"), "&nosuchname; &verylongnamethatnobodyknows;");
}

TEST(ReplaceLinks, AddressesBecomeWords) {
  const Case cases[] = {
      {"see http://www.imdb.com/title/tt0123/.", "see url."},
      {"(https://en.wikipedia.org/wiki/Film_(disambiguation))", "(url)"},
      {"HTTPS://X.ORG, www.Example.com! ftp://a/b", "url, url! url"},
      {"<http://x.org> \"www.a.de\"", "<url> \"url\""},
      {"http://de.wikipedia.org/wiki/Köln\u3002 http://例え.jp「x」", "url\u3002 url「x」"},
      {"https://user@host.org/x@y.z", "url"},
      {"mail john.doe+x@mail.example.org.", "mail email."},
      {"a@b.co, ..c@d.org", "email, ..email"},
      {"@user a@b me@ @ x@y. x@y.z", "@user a@b me@ @ x@y. x@y.z"},
      {"http:// www. www.x http://. shttp://x.org awww.x.org", "http:// www. www.x http://. shttp://x.org awww.x.org"},
      {"end.Next e.g. 3.14", "end.Next e.g. 3.14"},
      {"http://a.b\u00A0c", "url\u00A0c"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(replace_links(text), expected) << text;
}

TEST(CollapseWhitespace, RunsBecomeOneSpaceAndTheEndsNone) {
  EXPECT_EQ(collapse_whitespace("  a \t\n b\u00A0\u2003c \u3000"), "a b c");
  EXPECT_EQ(collapse_whitespace(" \n "), "");
  EXPECT_EQ(collapse_whitespace("a\u200Bb"), "a\u200Bb");
}

TEST(Normalize, EachCanBeChosenAlone) {
  const std::string text = " a<br />www.x.org  &amp; ";
  EXPECT_EQ(normalize(text, {}), text);
  EXPECT_EQ(normalize(text, {.html = true}), " a www.x.org  & ");
  EXPECT_EQ(normalize(text, {.urls = true}), " a<br />url  &amp; ");
  EXPECT_EQ(normalize(text, {.whitespace = true}), "a<br />www.x.org &amp;");
  EXPECT_EQ(normalize(text, NormalizeOptions::parse("whitespace,html,urls")), "a url &");
  EXPECT_EQ(NormalizeOptions::parse(std::vector<std::string>{"whitespace", "html"}).names(), "html,whitespace");
  EXPECT_FALSE(NormalizeOptions::parse("").any());
  EXPECT_NE(error_of([] { NormalizeOptions::parse("html,emoji"); }).find("'emoji' is not known; use html, urls"),
            std::string::npos);
}

// Hostile texts of a megabyte: quadratic time would be minutes, which the test's time limit does not allow.
TEST(Normalize, TakesLinearTime) {
  for (const std::string unit : {"<!--", "<script>", "<style></", "<a x=\"", "<a x='<b y=\"", "<!doctype ", "<?xml ", "&#1",
                                 "&amp", "http:///", "www.", "@a", "a@b", "http://a(", "x)", "<", "&", "</", "<b "}) {
    std::string text = "http://x";
    while (text.size() < (1u << 20)) text += unit;
    const std::string out = normalize(text, {true, true, true});
    EXPECT_FALSE(find_invalid_utf8(out)) << unit;
  }
}

// Any bytes that are UTF-8 stay UTF-8, and nothing is read past the end (under the sanitizers).
TEST(Normalize, AnyTextStaysWellFormed) {
  const std::string parts[] = {"<",      ">",       "&",      ";",   "#",
                               "x",      "\"",      "'",      "=",   " ",
                               "/",      "br",      "a",      "!--", "--",
                               "script", "http://", "www.",   "@",   ".",
                               "39",     "é",       "\u3000", "😀",   std::string(1, '\0'),
                               "lt"};
  uint64_t state = 1;
  const auto draw = [&](uint64_t n) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % n;
  };
  for (int i = 0; i < 20000; ++i) {
    std::string text;
    for (uint64_t n = draw(12); n > 0; --n) text += parts[draw(std::size(parts))];
    const std::string out = normalize(text, {true, true, true});
    ASSERT_FALSE(find_invalid_utf8(out)) << text;
    ASSERT_EQ(collapse_whitespace(out), out) << text;
  }
}

}  // namespace
}  // namespace berth::data
