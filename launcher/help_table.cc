#include "launcher/help_table.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <sstream>

#include "data/check.h"
#include "data/words.h"

namespace berth::launch {
namespace {

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
  return parts;
}

// "[8,16]", as CLI11 shows the default of a list, without brackets.
std::string default_of(const CLI::Option& option) {
  const std::string text = option.get_default_str();
  return text.starts_with('[') && text.ends_with(']') ? text.substr(1, text.size() - 2) : text;
}

OptionHelp describe(const CLI::Option& option) {
  OptionHelp help{.names = {},
                  .value = {},
                  .choices = {},
                  .other = {},
                  .text = option.get_description(),
                  .standard = default_of(option),
                  .required = option.get_required(),
                  .repeats = option.get_expected_max() > 1 || option.get_trigger_on_parse()};
  for (const std::string& name : option.get_snames()) help.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) help.names.push_back("--" + name);
  if (!help.names.empty() && option.get_expected_min() == 0) return help;  // a flag
  const std::string type = option.get_type_name();
  const size_t end = type.starts_with('{') ? type.find('}') : std::string::npos;
  if (end != std::string::npos) help.choices = split(type.substr(1, end - 1), '|');
  help.other = end == std::string::npos ? type : type.substr(end + 1);
  std::vector<std::string> values = help.choices;
  if (!help.other.empty()) values.push_back(help.names.empty() ? option.get_name() : help.other);
  help.value = joined(values, "|") + (option.get_delimiter() == ',' ? ",…" : "");
  if (help.names.empty() && help.choices.empty())
    std::transform(help.value.begin(), help.value.end(), help.value.begin(), [](unsigned char c) { return std::toupper(c); });
  return help;
}

OptionGroup& group_of(std::vector<OptionGroup>& groups, const std::string& title) {
  const auto known = std::find_if(groups.begin(), groups.end(), [&](const auto& group) { return group.title == title; });
  return known != groups.end() ? *known : groups.emplace_back(OptionGroup{.title = title, .options = {}});
}

// Whether the choices are too many to stand beside the option's name.
bool lists_choices(const OptionHelp& option) {
  constexpr size_t kLongest = 28;
  return option.value.size() > kLongest && !option.choices.empty();
}

// The default; "all" if it is -1 and a clause of the text is "; -1: all".
std::string standard_in_words(const OptionHelp& option) {
  const std::string mark = "; " + (option.standard.empty() ? "default" : option.standard) + ": ";
  const size_t at = option.text.find(mark);
  const bool is_word = std::isalpha(static_cast<unsigned char>(option.standard[0])) != 0;
  if (at == std::string::npos || is_word) return option.standard;
  const size_t begin = at + mark.size();
  return option.text.substr(begin, std::min(option.text.find("; ", begin), option.text.find(". ", begin)) - begin);
}

}  // namespace

std::string OptionHelp::shown_value() const { return lists_choices(*this) ? "NAME" : value; }

std::string OptionHelp::told(bool all) const {
  std::string told = brief();
  if (lists_choices(*this)) told += ": " + joined(choices, ", ");
  if (all) told += text.substr(brief().size());
  if (required) told += " (required)";
  const std::string shown = all ? standard : standard_in_words(*this);
  return shown.empty() ? told : concat(told, " (default: ", shown, ")");
}

std::vector<OptionGroup> CommandHelp::essentials() const {
  std::vector<OptionGroup> chosen;
  for (const std::string& name : subcommand->essentials)
    for (const OptionGroup& group : groups)
      for (const OptionHelp& option : group.options)
        if (option.name() == name) group_of(chosen, group.title).options.push_back(option);
  return chosen;
}

CommandHelp command_help(const Subcommand& subcommand) {
  CommandHelp help{.subcommand = &subcommand, .usage = "berth " + subcommand.name, .positionals = {}, .groups = {}};
  CommandLine line;
  CLI::App app("", "berth " + subcommand.name);
  declare_options(app, subcommand, line);
  if (!subcommand.usage.empty()) help.usage += " " + subcommand.usage;
  for (const CLI::Option* option : app.get_options()) {
    OptionHelp described = describe(*option);
    if (described.required)
      help.usage += described.names.empty() ? " " + described.value : concat(" ", described.name(), " ", described.value);
    auto& place = described.names.empty() ? help.positionals : group_of(help.groups, option->get_group()).options;
    place.push_back(std::move(described));
  }
  help.usage += " [options]";
  const auto general = [](const OptionGroup& group) { return group.title != kGeneralGroup; };
  std::stable_partition(help.groups.begin(), help.groups.end(), general);
  return help;
}

std::vector<CommandHelp> all_command_help() {
  std::vector<CommandHelp> all;
  for (const Subcommand& subcommand : subcommands())
    if (!subcommand.hidden) all.push_back(command_help(subcommand));
  return all;
}

std::vector<Example> first_model() {
  std::vector<Example> steps;
  for (const Subcommand& subcommand : subcommands())
    if (subcommand.name == "prepare" || subcommand.name == "train" || subcommand.name == "predict")
      steps.push_back(subcommand.examples.front());
  return steps;
}

std::vector<std::pair<std::string, std::string>> exit_code_help() {
  return {{"0", "done"},
          {"1", "internal error"},
          {"2", "wrong usage"},
          {"3", "bad input: data, model or checkpoint; check found an error"},
          {"4", "diverged: a loss or gradient is not finite, or replicas differ"},
          {"75", "train or sweep was stopped early, with a good checkpoint: start it again"},
          {"128+n", "prepare, evaluate or predict was stopped by signal n"}};
}

}  // namespace berth::launch
