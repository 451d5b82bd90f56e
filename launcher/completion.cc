#include "launcher/completion.h"

#include <algorithm>
#include <map>

#include "data/check.h"
#include "data/shell.h"
#include "data/words.h"
#include "launcher/help_table.h"

namespace berth::launch {
namespace {

enum class Files { kNone, kAll, kFolders };

Files files_of(const OptionHelp& option) {
  if (option.other == "DIR") return Files::kFolders;
  return option.other == "FILE" || option.other == "PATH" ? Files::kAll : Files::kNone;
}

std::vector<OptionHelp> options_of(const CommandHelp& help) {
  std::vector<OptionHelp> all;
  for (const OptionGroup& group : help.groups) all.insert(all.end(), group.options.begin(), group.options.end());
  return all;
}

// What follows an option, as a statement of bash; "": nothing does.
std::string bash_action(const OptionHelp& option) {
  if (option.value.empty()) return "";
  std::string action = "_berth_words '" + joined(option.choices, " ") + "'";
  if (files_of(option) != Files::kNone) action += files_of(option) == Files::kFolders ? "; _berth_files -d" : "; _berth_files -f";
  return action;
}

std::string bash_command(const CommandHelp& help) {
  std::map<std::string, std::vector<std::string>> names_by_action;
  std::vector<std::string> names;
  for (const OptionHelp& option : options_of(help)) {
    names.insert(names.end(), option.names.begin(), option.names.end());
    if (const std::string action = bash_action(option); !action.empty()) {
      auto& those = names_by_action[action];
      those.insert(those.end(), option.names.begin(), option.names.end());
    }
  }
  std::string text = concat("    ", help.subcommand->name, ")\n      case $option in\n");
  for (const auto& [action, those] : names_by_action)
    text += concat("        ", joined(those, "|"), ") ", action, "; return ;;\n");
  text += "      esac\n";
  for (const OptionHelp& positional : help.positionals)
    text += concat("      [[ $current == -* ]] || { ", bash_action(positional), "; return; }\n");
  return text + concat("      _berth_words '", joined(names, " "), "' ;;\n");
}

// Of _arguments: '--data[the .h5 file that berth prepare wrote]:FILE:_files'.
std::string zsh_value(const OptionHelp& option) {
  if (option.value.empty()) return "";
  std::string value = ":" + (option.choices.empty() ? option.other : "value") + ":";
  const std::string files = files_of(option) == Files::kFolders ? "_files -/" : "_files";
  if (files_of(option) == Files::kNone)
    return value + (option.choices.empty() ? " " : concat("(", joined(option.choices, " "), ")"));
  return value + (option.choices.empty() ? files : concat("{compadd ", joined(option.choices, " "), "; ", files, "}"));
}

std::string zsh_escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == '\\' || c == ':') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_command(const CommandHelp& help) {
  std::string text = concat("    ", help.subcommand->name, ")\n      _arguments");
  for (const OptionHelp& option : options_of(help))
    for (const std::string& name : option.names)
      text +=
          concat(" \\\n        ",
                 shell_quoted(concat(option.repeats ? "*" : "", name, "[", zsh_escaped(option.brief()), "]", zsh_value(option))));
  for (const OptionHelp& positional : help.positionals) text += concat(" \\\n        ", shell_quoted(zsh_value(positional)));
  return text + " ;;\n";
}

std::vector<std::string> command_names() {
  std::vector<std::string> names;
  for (const Subcommand& s : subcommands())
    if (!s.hidden) names.push_back(s.name);
  return names;
}

}  // namespace

std::string bash_completion() {
  std::string text = R"(# Completes berth's commands, options, choices and files in bash; made by: berth completion bash
_berth_words() { COMPREPLY+=($(compgen -W "$1" -- "$current")); }
_berth_files() {
  local name
  while IFS= read -r name; do COMPREPLY+=("$name"); done < <(compgen "$1" -- "$current")
  compopt -o filenames 2>/dev/null
}
_berth() {
  local current=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD-1]}
  COMPREPLY=()
  # --option=value are three words.
  if [[ $current == = ]]; then
    current=
  elif [[ $option == = ]]; then
    option=${COMP_WORDS[COMP_CWORD-2]}
  fi
  [[ $current == --* ]] && current=${current//_/-}
  option=${option//_/-}
)";
  const std::string commands = joined(command_names(), " ");
  text += concat("  if ((COMP_CWORD == 1)); then\n    _berth_words '", commands, " help --help --version'\n    return\n  fi\n");
  text += concat("  case ${COMP_WORDS[1]} in\n    help) _berth_words '", commands, "' ;;\n");
  for (const CommandHelp& help : all_command_help()) text += bash_command(help);
  return text + "  esac\n}\ncomplete -F _berth berth\n";
}

std::string zsh_completion() {
  std::string text =
      "#compdef berth\n# Completes berth's commands, options, choices and files in zsh; made by: berth completion zsh\n"
      "_berth() {\n  local -a commands=(";
  for (const CommandHelp& help : all_command_help())
    text += "\n    " + shell_quoted(concat(help.subcommand->name, ":", help.subcommand->help));
  text += concat("\n    'help:of a command')\n  if (( CURRENT == 2 )); then\n    _describe command commands\n    return\n  fi\n",
                 "  shift words\n  (( CURRENT-- ))\n  case $words[1] in\n    help) _describe command commands ;;\n");
  for (const CommandHelp& help : all_command_help()) text += zsh_command(help);
  return text + "  esac\n}\nif [[ $funcstack[1] == _berth ]]; then _berth \"$@\"; else compdef _berth berth; fi\n";
}

}  // namespace berth::launch
