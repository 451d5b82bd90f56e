// Manual pages, section 1, in the macros of man(7).
#pragma once

#include <string>

#include "launcher/help_table.h"

namespace berth::launch {

std::string manual_page();                         // berth.1
std::string manual_page(const CommandHelp& help);  // berth-train.1, …

}  // namespace berth::launch
