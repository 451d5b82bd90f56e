// Commands for others to run.
#pragma once

#include <string>

namespace berth {

// `word` as a POSIX shell reads it back: as it is where that needs no quotes.
std::string shell_quoted(const std::string& word);

}  // namespace berth
