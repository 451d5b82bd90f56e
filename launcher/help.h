// Help for people, wrapped to the width of what it is read on.
#pragma once

#include <string>
#include <vector>

#include "launcher/help_table.h"

namespace berth::launch {

struct HelpStyle {
  int width = 80;     // columns
  bool bold = false;  // headings
};
// Of standard output: as wide as COLUMNS or the terminal says (40 to 100), else 80; NO_COLOR is respected.
HelpStyle help_style();

std::string overview(const HelpStyle& style);                                      // berth --help
std::string help_text(const CommandHelp& help, const HelpStyle& style, bool all);  // of a subcommand; `all`: --help-all
// The words of `text`, which begins in column `at`, in lines of `width` columns; `before`: what all but the first begin with.
std::string wrapped(const std::string& text, int at, const std::string& before, int width);
std::string example_text(const Example& example, int width,
                         const std::string& indent);  // "# what", and the command over several lines

}  // namespace berth::launch
