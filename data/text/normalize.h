// Cleaning raw texts before they are tokenized, for training and for new texts alike.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "data/samples/record.h"

namespace berth::data {

struct NormalizeOptions {
  bool html = false;        // strip_html() of html.h
  bool urls = false;        // replace_links()
  bool whitespace = false;  // collapse_whitespace()

  bool any() const { return html || urls || whitespace; }
  bool operator==(const NormalizeOptions&) const = default;
  // As names in the order in which they are applied, separated by commas: "html,urls,whitespace"; "" if there is none.
  std::string names() const;
  // Names in any order. Throws Error(kUsage) for an unknown one.
  static NormalizeOptions parse(const std::vector<std::string>& names);
  static NormalizeOptions parse(const std::string& names);  // as names() writes them
};

// Each web address (http://, https://, ftp:// or www.) becomes the word "url", each e-mail address the word "email": plain words
// that every English vocabulary has, so that they cannot be taken for special tokens as "[URL]" could. Punctuation that ends the
// sentence around an address stays.
std::string replace_links(std::string_view text);

// Each run of Unicode white space becomes one space; none is left at either end.
std::string collapse_whitespace(std::string_view text);

// All that is asked for. Valid UTF-8 in and out.
std::string normalize(const std::string& text, const NormalizeOptions& options);
// Both texts of a record; words, answers and labels are left alone.
void normalize(Record& record, const NormalizeOptions& options);

}  // namespace berth::data
