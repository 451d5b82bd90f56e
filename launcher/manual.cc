#include "launcher/manual.h"

#include <algorithm>

#include "data/check.h"
#include "data/words.h"
#include "launcher/help.h"
#include "launcher/version.h"

namespace berth::launch {
namespace {

constexpr int kExampleWidth = 72;

// Text as roff prints it: what would be a request, an escape or a hyphen to break lines at is none.
std::string roff(const std::string& text) {
  std::string out;
  bool begins = true;  // a line
  for (const char c : text) {
    if (begins && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else
      out += c;
    begins = c == '\n';
  }
  return out;
}

std::string bold(const std::string& text) { return "\\fB" + roff(text) + "\\fR"; }
std::string italic(const std::string& text) { return "\\fI" + roff(text) + "\\fR"; }

std::string head(const std::string& name, const std::string& help) {
  std::string title = name;
  std::transform(title.begin(), title.end(), title.begin(), [](unsigned char c) { return std::toupper(c); });
  return concat(".TH ", title, " 1 \"\" \"berth ", version_number(), "\" \"berth manual\"\n.ad l\n.nh\n.SH NAME\n", roff(name),
                " \\- ", roff(help), "\n");
}

std::string tagged(const std::string& tag, const std::string& text) { return ".TP\n" + tag + "\n" + roff(text) + "\n"; }

std::string describe(const OptionHelp& option) {
  std::string tag = joined(option.names, ", ", bold);
  if (!option.value.empty()) tag += (option.names.empty() ? "" : " ") + italic(option.shown_value());
  return tagged(tag, option.told());
}

std::string examples(const std::vector<Example>& all) {
  return joined(all, ".PP\n",
                [](const Example& example) { return ".nf\n" + roff(example_text(example, kExampleWidth, "")) + ".fi\n"; });
}

std::string exit_status() {
  std::string text = ".SH EXIT STATUS\n";
  for (const auto& [code, meaning] : exit_code_help()) text += tagged(bold(code), meaning);
  return text;
}

std::string see_also(const std::string& own) {
  std::vector<std::string> pages;
  if (own != "berth") pages.push_back("berth");
  for (const Subcommand& s : subcommands())
    if (!s.hidden && own != "berth-" + s.name) pages.push_back("berth-" + s.name);
  return ".SH SEE ALSO\n" + joined(pages, ",\n", [](const auto& page) { return "\\fB" + roff(page) + "\\fR(1)"; }) +
         "\n.PP\nREADME.md and docs/ in share/doc/berth.\n";
}

}  // namespace

std::string manual_page() {
  std::string text = head("berth", "fine-tunes BERT, DistilBERT and ELECTRA on HPC clusters");
  text += ".SH SYNOPSIS\n" + bold("berth") + " " + italic("COMMAND") + " [options]\n.SH COMMANDS\n";
  for (const CommandHelp& help : all_command_help())
    text += tagged("\\fB" + roff("berth-" + help.subcommand->name) + "\\fR(1)", help.subcommand->help);
  text += ".SH EXAMPLES\n";
  return text + examples(first_model()) + exit_status() + see_also("berth");
}

std::string manual_page(const CommandHelp& help) {
  const Subcommand& command = *help.subcommand;
  const std::string name = "berth-" + command.name;
  std::string text = head(name, command.help) + ".SH SYNOPSIS\n" + roff(help.usage) + "\n.SH OPTIONS\n";
  for (const OptionHelp& positional : help.positionals) text += describe(positional);
  for (const OptionGroup& group : help.groups) {
    text += ".SS " + roff(group.title) + "\n";
    for (const OptionHelp& option : group.options) text += describe(option);
  }
  text += ".PP\nNames may be written with dashes or underscores.\n.SH EXAMPLES\n" + examples(command.examples);
  return text + exit_status() + see_also(name);
}

}  // namespace berth::launch
