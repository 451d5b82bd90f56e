// Cleaning raw texts before they are tokenized, for training and for new texts alike.
#pragma once

#include <string>
#include <string_view>

#include "data/samples/normalize_options.h"
#include "data/samples/record.h"

namespace berth::data {

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
