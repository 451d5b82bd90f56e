// What there is to say of each subcommand and its options, read off their declarations (options.h): the one table that --help, the manual
// pages and the shells' completions are made of.
#pragma once

#include <string>
#include <vector>

#include "launcher/options.h"

namespace berth::launch {

struct OptionHelp {
  std::vector<std::string> names;    // "--data"; of several the first counts; none: an argument without a name
  std::string value;                 // "FILE", "adamw|lamb", "N,…"; "": a flag
  std::vector<std::string> choices;  // what the value may be, if that can be listed
  std::string other;                 // or else: "FILE", "DIR", "PATH", "N", "NUMBER", "TEXT", …
  std::string text;                  // what it is for, without default and choices
  std::string standard;              // the default; "": none, or told in `text`
  bool required = false;
  bool repeats = false;  // may be given several times

  std::string brief() const { return text.substr(0, text.find("; ")); }  // the first clause of `text`
  std::string shown_value() const;                                       // `value`; "NAME" in the place of many choices
  std::string told(bool all = true) const;  // text, choices that the value does not show, whether required, default; or briefly
  const std::string& name() const { return names.empty() ? value : names.front(); }
};

struct OptionGroup {
  std::string title;
  std::vector<OptionHelp> options;
};

struct CommandHelp {
  const Subcommand* subcommand = nullptr;
  std::string usage;                    // "berth train --model DIR … [options]"
  std::vector<OptionHelp> positionals;  // arguments without a name
  std::vector<OptionGroup> groups;      // what all subcommands have is the last one

  // The groups with subcommand->essentials alone, in that order.
  std::vector<OptionGroup> essentials() const;
};

CommandHelp command_help(const Subcommand& subcommand);
std::vector<CommandHelp> all_command_help();  // of those that are for people

std::vector<Example> first_model();  // the shortest way to one

// The exit codes and what they mean.
std::vector<std::pair<std::string, std::string>> exit_code_help();

}  // namespace berth::launch
