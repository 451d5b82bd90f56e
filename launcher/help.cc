#include "launcher/help.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "data/check.h"
#include "data/words.h"
#include "launcher/console.h"
#include "launcher/version.h"

namespace berth::launch {
namespace {

constexpr int kColumn = 28;     // where texts stand beside names …
constexpr int kLeastText = 38;  // … if so many columns are left for them
constexpr int kBelow = 6;       // … and where they stand below names

std::string heading(const std::string& text, const HelpStyle& style) { return style.bold ? "\x1b[1m" + text + "\x1b[0m" : text; }

int columns(const std::string& text) {
  return static_cast<int>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string blanks(int number) { return std::string(static_cast<size_t>(std::max(0, number)), ' '); }

// A name, and what there is to say of it: beside it in column `column`, or below it.
std::string entry(const std::string& name, const std::string& text, int column, int width) {
  const std::string head = "  " + name;
  const bool beside = width - column >= kLeastText;
  const int indent = beside ? column : kBelow;
  if (text.empty()) return head + "\n";
  const bool below = !beside || columns(head) + 2 > column;
  return head + (below ? "\n" + blanks(indent) : blanks(column - columns(head))) + wrapped(text, indent, blanks(indent), width);
}

std::string describe(const OptionHelp& option, int width, bool all) {
  const std::string names = joined(option.names, ", "), value = option.shown_value();
  return entry(concat(names, names.empty() || value.empty() ? "" : " ", value), option.told(all), kColumn, width);
}

std::string describe_brief(OptionHelp option, int width) {
  if (!option.names.empty()) option.names.resize(1);
  return describe(option, width, false);
}

}  // namespace

std::string wrapped(const std::string& text, int at, const std::string& before, int width) {
  std::string out;
  std::istringstream words(text);
  bool begins = true;
  for (std::string word; words >> word; begins = false) {
    if (!begins && at + 1 + columns(word) > width) {
      out += "\n" + before;
      at = columns(before);
    } else if (!begins) {
      out += ' ';
      ++at;
    }
    out += word;
    at += columns(word);
  }
  return out + "\n";
}

HelpStyle help_style() {
  constexpr int kLeast = 40, kMost = 100;
  HelpStyle style;
  const auto variable = [](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
  };
  winsize size{};
  if (const int given = std::atoi(variable("COLUMNS").c_str()); given > 0)
    style.width = given;
  else if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    style.width = size.ws_col;
  style.width = std::clamp(style.width, kLeast, kMost);
  style.bold = TerminalStyle::detect(::isatty(STDOUT_FILENO) == 1, variable).color;
  return style;
}

std::string example_text(const Example& example, int width, const std::string& indent) {
  const std::string comment = indent + "# ";
  std::string all = comment + wrapped(example.what, columns(comment), comment, width);
  std::vector<std::string> parts;  // an option and its value stay together
  std::istringstream words(example.command);
  for (std::string word; words >> word;) {
    if (parts.empty() || word.starts_with("--"))
      parts.push_back(word);
    else
      parts.back() += " " + word;
  }
  std::string line = indent;
  for (size_t i = 0; i < parts.size(); ++i) {
    const bool last = i + 1 == parts.size();
    if (i > 0 && columns(line) + 1 + columns(parts[i]) + (last ? 0 : 2) > width) {
      all += line + " \\\n";
      line = indent + "    " + parts[i];
    } else {
      line += (i > 0 ? " " : "") + parts[i];
    }
  }
  return all + line + "\n";
}

std::string help_text(const CommandHelp& help, const HelpStyle& style, bool all) {
  const Subcommand& command = *help.subcommand;
  std::string text = wrapped(concat("berth ", command.name, ": ", command.help), 0, "  ", style.width);
  text += "\n" + heading("Usage", style) + ": " + wrapped(help.usage, 7, blanks(9), style.width);
  if (!command.examples.empty()) text += "\n" + heading("Examples", style) + "\n";
  for (const Example& example : command.examples) text += example_text(example, style.width, "  ");
  if (!help.positionals.empty()) text += "\n";
  for (const OptionHelp& option : help.positionals) text += describe(option, style.width, all);
  bool first = true;
  for (const OptionGroup& group : all ? help.groups : help.essentials()) {
    if (all || std::exchange(first, false)) text += "\n";
    text += heading(group.title, style) + "\n";
    for (const OptionHelp& option : group.options)
      text += all ? describe(option, style.width, true) : describe_brief(option, style.width);
  }
  if (!all) text += "\n" + wrapped(concat("All options: berth ", command.name, " --help-all"), 0, "", style.width);
  return text;
}

std::string overview(const HelpStyle& style) {
  std::string text = wrapped(concat("berth ", version_number(), ": fine-tunes BERT, DistilBERT and ELECTRA on HPC clusters"), 0,
                             "  ", style.width);
  text += "\n" + heading("Usage", style) + ": berth COMMAND [options]\n\n" + heading("Commands", style) + "\n";
  for (const Subcommand& s : subcommands())
    if (!s.hidden) text += entry(s.name, s.help, 14, style.width);
  text += "\n" + heading("A first model", style) + "\n";
  for (const Example& example : first_model()) text += example_text(example, style.width, "  ");
  text += "\n" + heading("More", style) + "\n";
  text += entry("berth COMMAND --help", "the options that matter; --help-all: all of them", kColumn, style.width);
  text += entry("berth --version", "versions of berth and its libraries, and how it was built", kColumn, style.width);
  text += entry("man berth-train", "the same as a manual page; README.md and docs/ are installed into share/doc/berth", kColumn,
                style.width);
  text +=
      "\n" +
      wrapped(
          "Options may be written with dashes or underscores, and come from a file: --config FILE (JSON or TOML). Exit codes: " +
              joined(exit_code_help(), "; ", [](const auto& code) { return code.first + " " + code.second; }) + ".",
          0, "", style.width);
  return text;
}

}  // namespace berth::launch
