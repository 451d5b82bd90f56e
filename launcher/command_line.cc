#include <CLI/CLI.hpp>
#include <algorithm>
#include <optional>
#include <utility>

#include "data/check.h"
#include "data/shell.h"
#include "data/words.h"
#include "launcher/config_file.h"
#include "launcher/help.h"
#include "launcher/logging.h"
#include "launcher/option_names.h"
#include "launcher/option_parser.h"
#include "launcher/options.h"
#include "launcher/version.h"

namespace berth::launch {
namespace {

bool is_boolean(const std::string& word) { return word == "true" || word == "True" || word == "false" || word == "False"; }

// Flags may be followed by a value, as in transformers' scripts ("--bf16 True"): joined with "=", as CLI11 wants it. "--flag
// none" is left alone.
std::vector<std::string> join_flag_values(const CLI::App& app, const std::vector<std::string>& arguments) {
  std::vector<std::string> joined;
  for (const std::string& argument : arguments) {
    const CLI::Option* previous =
        joined.empty() || !joined.back().starts_with("--") ? nullptr : app.get_option_no_throw(joined.back());
    if (previous != nullptr && previous->get_expected_min() == 0 && is_boolean(argument))
      joined.back() += argument[0] == 't' || argument[0] == 'T' ? "=true" : "=false";
    else
      joined.push_back(argument);
  }
  return joined;
}

// "--model --data x.h5" is what a script makes of a variable that is empty: CLI11 would take --data for the model's name.
void check_values(const CLI::App& app, const std::vector<std::string>& arguments) {
  const auto option_of = [&](const std::string& argument) {
    return argument.starts_with("--") ? app.get_option_no_throw(argument) : nullptr;
  };
  for (size_t i = 0; i + 1 < arguments.size(); ++i) {
    const CLI::Option* option = option_of(arguments[i]);
    check_usage(option == nullptr || option->get_expected_min() == 0 || option_of(arguments[i + 1]) == nullptr, app.get_name(),
                ": ", arguments[i], " has no value: ", arguments[i + 1], " follows it (is a variable of the script empty?)");
  }
}

// Not --help and --config.
bool is_setting(const CLI::Option& option) {
  return option.get_group() != kGeneralGroup || option.get_lnames()[0] == "log-level";
}

// Every option by its first long name, with what was given or its default.
nlohmann::ordered_json effective_options(const CLI::App& app) {
  nlohmann::ordered_json all;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_lnames().empty() || !is_setting(*option)) continue;
    const std::vector<std::string>& given = option->results();
    nlohmann::ordered_json& value = all[option->get_lnames()[0]];
    if (given.size() == 1)
      value = given[0];
    else if (!given.empty())
      value = given;
    else if (!option->get_default_str().empty())
      value = option->get_default_str();
  }
  return all;
}

// The first long names of the options that were given another value than their default.
std::vector<std::string> changed_options(const CLI::App& app) {
  std::vector<std::string> changed;
  for (const CLI::Option* option : app.get_options()) {
    if (option->count() == 0 || option->get_lnames().empty() || option->get_lnames()[0] == "config") continue;
    if (option->results() != std::vector{option->get_default_str()}) changed.push_back(option->get_lnames()[0]);
  }
  return changed;
}

// Every option that was given, and its value; one that may be given several times stands there so often.
std::vector<std::pair<const CLI::Option*, std::string>> given_options(const CLI::App& app) {
  std::vector<std::pair<const CLI::Option*, std::string>> given;
  for (const CLI::Option* option : app.get_options()) {
    if (option->count() == 0 || option->get_lnames().empty() || option->get_lnames()[0] == "config") continue;
    std::vector<std::string> values = option->reduced_results();
    if (option->get_delimiter() != '\0') values = {joined(values, std::string(1, option->get_delimiter()))};
    for (std::string& value : values) given.emplace_back(option, std::move(value));
  }
  return given;
}

// "berth train --model … --bf16".
std::string shell_command(const CLI::App& app) {
  std::string command = app.get_name();
  for (const auto& [option, value] : given_options(app)) {
    command += " --" + option->get_lnames()[0];
    if (option->get_expected_min() > 0)
      command += " " + shell_quoted(value);
    else if (value != "true")
      command += "=" + value;
  }
  return command;
}

// What of a sweep's options its trials are told.
std::vector<std::string> train_arguments(const CLI::App& app) {
  std::vector<std::string> arguments;
  for (const auto& [option, value] : given_options(app))
    if (option->get_group() != kSweepGroup) arguments.push_back(concat("--", option->get_lnames()[0], "=", value));
  return arguments;
}

// "learning_rate=1,2" with the first name of the option.
std::string searched(const CLI::App& app, const std::string& spec) {
  const size_t equals = spec.find('='), begin = std::min(spec.find_first_not_of('-'), equals);
  if (equals == std::string::npos) return spec;  // parse_search says what is wrong
  const std::string name = canonical("--" + spec.substr(begin, equals - begin));
  const CLI::Option* option = app.get_option_no_throw(name);
  const bool of_train = option != nullptr && option->get_group() != kSweepGroup && option->get_group() != kGeneralGroup;
  check_usage(of_train, "--search ", spec, ": berth train has no option ", name, option_hint(app, name));
  return option->get_lnames()[0] + spec.substr(equals);
}

const Subcommand& find_subcommand(const std::string& name) {
  std::vector<std::string> names;
  for (const Subcommand& s : subcommands()) {
    if (s.name == name) return s;
    if (!s.hidden) names.push_back(s.name);
  }
  if (name.starts_with("-")) names = {"--version", "--help", "--help-all"};
  fail(ExitCode::kUsage, name.starts_with("-") ? "unknown option " : "unknown command ", name, did_you_mean(name, names), " (",
       name.starts_with("-") ? "options come behind the command; berth --help lists the commands)" : "berth --help lists them)");
}

// What `arguments` ask for that name no subcommand to be run: a version or help; nothing if they do name one.
std::optional<std::string> help_asked(const std::vector<std::string>& arguments) {
  const std::string& first = arguments[0];
  if (first == "--version" || first == "-V") return version() + "\n\n" + version_details();
  const bool asks = first == "help";
  if (asks && arguments.size() > 1 && !arguments[1].starts_with("-"))
    return help_text(command_help(find_subcommand(arguments[1])), help_style(), false);
  if (asks || first == "--help" || first == "-h" || first == "--help-all") return overview(help_style());
  return std::nullopt;
}

// Throws Error(kUsage) that names those that were not given.
void check_given(const CLI::App& app, const std::vector<const CLI::Option*>& required) {
  std::vector<std::string> missing;
  for (const CLI::Option* option : required)
    if (option->count() == 0) {
      const std::string& text = option->get_description();
      missing.push_back(concat(option->get_name(), " (", text.substr(0, text.find("; ")), ")"));
    }
  check_usage(missing.empty(), app.get_name(), " needs ", joined(missing, ", "), "; see ", app.get_name(), " --help");
}

// The options that a subcommand wants; their marks are taken off, for CLI11 would speak of them before it does of unknown options.
std::vector<const CLI::Option*> take_required(CLI::App& app) {
  std::vector<const CLI::Option*> required;
  for (CLI::Option* option : app.get_options([](CLI::Option* it) { return it->get_required(); })) {
    option->required(false);
    required.push_back(option);
  }
  return required;
}

}  // namespace

void declare_options(CLI::App& app, const Subcommand& subcommand, CommandLine& line) {
  subcommand.declare(app, line);
  Parser p(app);
  p.add_choice("--log-level", line.log_level, {"trace", "debug", "info", "warning", "error"}, "what is told of a command's work",
               [&line](const std::string& name) {
                 parse_log_level(name);
                 line.log_level = name;
               });
  const std::string of_config =
      concat("JSON or TOML file with any of these options",
             has_train_options(app) ? ", or what transformers' TrainingArguments.to_json_string() writes" : "",
             "; the command line wins");
  app.add_option("--config", of_config)->type_name("FILE")->group(kGeneralGroup);
  app.set_help_flag("-h,--help", "the options that matter most")->group(kGeneralGroup);
  app.set_help_all_flag("--help-all", "all options")->group(kGeneralGroup);
}

CommandLine parse_command_line(const std::vector<std::string>& arguments) {
  check_usage(!arguments.empty(), "no command given; berth --help lists them");
  if (const auto help = help_asked(arguments)) throw HelpRequested{*help};
  const Subcommand& chosen = find_subcommand(arguments[0]);

  CommandLine line;
  for (const std::string& argument : arguments) line.text += (line.text.empty() ? "" : " ") + argument;
  CLI::App app("", "berth " + chosen.name);
  declare_options(app, chosen, line);
  const std::vector<const CLI::Option*> required = take_required(app);

  std::vector<std::string> rest;
  for (size_t i = 1; i < arguments.size(); ++i) rest.push_back(canonical(arguments[i]));
  rest = join_flag_values(app, expand_config(app, rest, line.remarks));
  check_values(app, rest);
  std::reverse(rest.begin(), rest.end());  // CLI11 parses from the back
  try {
    app.parse(rest);
  } catch (const CLI::CallForHelp&) {
    throw HelpRequested{help_text(command_help(chosen), help_style(), false)};
  } catch (const CLI::CallForAllHelp&) {
    throw HelpRequested{help_text(command_help(chosen), help_style(), true)};
  } catch (const CLI::ExtrasError&) {
    const std::vector<std::string> extras = app.remaining();
    const std::string word = extras.empty() ? "" : extras.front().substr(0, extras.front().find('='));
    fail(ExitCode::kUsage, app.get_name(), ": unknown ", word.starts_with("-") ? "option " : "argument ", word,
         option_hint(app, word), " (", app.get_name(), " --help-all lists them)");
  } catch (const CLI::ParseError& error) {
    fail(ExitCode::kUsage, app.get_name(), ": ", error.what(), " (", app.get_name(), " --help)");
  }
  check_given(app, required);
  line.options = effective_options(app);
  line.changed_options = changed_options(app);
  line.for_shell = shell_command(app);
  if (auto* sweep = std::get_if<SweepCommand>(&line.command)) {
    sweep->train_arguments = train_arguments(app);
    for (std::string& spec : sweep->sweep.search) spec = searched(app, spec);
  }
  return line;
}

}  // namespace berth::launch
