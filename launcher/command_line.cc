#include <CLI/CLI.hpp>
#include <algorithm>
#include <utility>

#include "data/check.h"
#include "data/shell.h"
#include "data/words.h"
#include "launcher/options.h"
#include "launcher/version.h"

namespace berth::launch {
namespace {

// "--per_device_x" -> "--per-device-x"; values are left alone.
std::string canonical(const std::string& argument) {
  if (!argument.starts_with("--")) return argument;
  const size_t end = std::min(argument.find('='), argument.size());
  std::string name = argument.substr(0, end);
  std::replace(name.begin(), name.end(), '_', '-');
  return name + argument.substr(end);
}

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

// The first name of the option that `argument` gives; if there is none of that name, all before "=".
std::string option_in(const CLI::App& app, const std::string& argument) {
  const std::string name = argument.substr(0, argument.find('='));
  const CLI::Option* option = name.starts_with("--") ? app.get_option_no_throw(name) : nullptr;
  return option == nullptr ? name : option->get_name();
}

// An option takes one value, unless its values are a list or each of them is taken when it is met.
bool takes_one(const CLI::Option& option) { return option.get_expected_max() <= 1 && !option.get_trigger_on_parse(); }

// Replaces "--config FILE" by the file's options, but for those that the command line gives, or a later file.
std::vector<std::string> expand_config(const CLI::App& app, const std::vector<std::string>& arguments) {
  std::vector<std::string> from_file, rest;
  const auto forget = [&](const std::string& option) {
    std::erase_if(from_file, [&](const std::string& earlier) { return option_in(app, earlier) == option; });
  };
  for (size_t i = 0; i < arguments.size(); ++i) {
    const bool separate = arguments[i] == "--config";
    if (!separate && !arguments[i].starts_with("--config=")) {
      rest.push_back(arguments[i]);
      continue;
    }
    check_usage(!separate || i + 1 < arguments.size(), "--config needs a file");
    const std::string path = separate ? arguments[++i] : arguments[i].substr(9);
    for (const ConfigOption& given : read_config_file(path)) {
      const std::string name = canonical("--" + given.name);
      const CLI::Option* option = app.get_option_no_throw(name);
      check_usage(given.values.size() == 1 || option == nullptr || !takes_one(*option), path, ": option ", given.name,
                  " is a list of ", given.values.size(), " values; it takes one");
      forget(option_in(app, name));
      for (const std::string& value : given.values) from_file.push_back(concat(name, "=", value));
    }
  }
  for (const std::string& argument : rest) forget(option_in(app, argument));
  from_file.insert(from_file.end(), rest.begin(), rest.end());
  return from_file;
}

// The known subcommand or option nearest to an unknown one, by edit distance; "" if none is near.
std::string nearest(const std::string& word, const std::vector<std::string>& known) {
  std::string best;
  size_t best_distance = std::max<size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : known) {
    const size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

// Every option by its first long name, with what was given or its default.
nlohmann::ordered_json effective_options(const CLI::App& app) {
  nlohmann::ordered_json all;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_lnames().empty() || option->get_lnames()[0] == "help" || option->get_lnames()[0] == "config") continue;
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
  const bool of_train = option != nullptr && option->get_group() != kSweepGroup && name != "--config" && name != "--help";
  const std::string guess = of_train ? "" : nearest(name, option_names(app));
  check_usage(of_train, "--search ", spec, ": berth train has no option ", name,
              guess.empty() ? "" : "; did you mean " + guess + "?");
  return option->get_lnames()[0] + spec.substr(equals);
}

std::string overview() {
  std::string text = version() + "\nBERT fine-tuning for HPC clusters.\n\nUsage: berth SUBCOMMAND [options]\n\n";
  for (const Subcommand& s : subcommands()) text += "  " + s.name + std::string(10 - s.name.size(), ' ') + s.help + "\n";
  return text +
         "\nberth SUBCOMMAND --help lists its options with their defaults. Options may be written with dashes or underscores, "
         "and come\n"
         "from a file: --config FILE (JSON or TOML). Ranks are started by mpirun or srun: mpirun -np 8 berth train …\n"
         "Exit codes: 0 done, 1 internal error, 2 usage, 3 bad input, 4 diverged, 75 stopped early with a good checkpoint.\n";
}

}  // namespace

CommandLine parse_command_line(const std::vector<std::string>& arguments) {
  if (!arguments.empty() && (arguments[0] == "--version" || arguments[0] == "-V")) throw HelpRequested{version() + "\n"};
  if (!arguments.empty() && (arguments[0] == "--help" || arguments[0] == "-h" || arguments[0] == "help"))
    throw HelpRequested{overview()};
  check_usage(!arguments.empty(),
              "no subcommand given; use prepare, train, sweep, evaluate, predict, inspect or report (berth --help)");

  std::vector<std::string> names;
  const Subcommand* chosen = nullptr;
  for (const Subcommand& s : subcommands()) {
    names.push_back(s.name);
    if (s.name == arguments[0]) chosen = &s;
  }
  if (chosen == nullptr) {
    const std::string guess = nearest(arguments[0], names);
    fail(ExitCode::kUsage, "unknown subcommand ", arguments[0], guess.empty() ? "" : "; did you mean " + guess + "?",
         " (berth --help lists them)");
  }

  CommandLine line;
  for (const std::string& argument : arguments) line.text += (line.text.empty() ? "" : " ") + argument;
  CLI::App app("berth " + chosen->name + ": " + chosen->help, "berth " + chosen->name);
  app.get_formatter()->column_width(42);
  chosen->declare(app, line);
  app.add_option("--log-level", line.log_level, "trace, debug, info, warning or error")->capture_default_str();
  app.add_option("--config", "JSON or TOML file with any of these options; the command line wins")->type_name("FILE");

  std::vector<std::string> rest;
  for (size_t i = 1; i < arguments.size(); ++i) rest.push_back(canonical(arguments[i]));
  rest = join_flag_values(app, expand_config(app, rest));
  std::reverse(rest.begin(), rest.end());  // CLI11 parses from the back
  try {
    app.parse(rest);
  } catch (const CLI::CallForHelp&) {
    throw HelpRequested{app.help()};
  } catch (const CLI::ExtrasError&) {
    const std::vector<std::string> extras = app.remaining();
    const std::string word = extras.empty() ? "" : extras.front().substr(0, extras.front().find('='));
    const std::string guess = word.starts_with("--") ? nearest(word, option_names(app)) : "";
    fail(ExitCode::kUsage, "berth ", chosen->name, ": unknown ", word.starts_with("-") ? "option " : "argument ", word,
         guess.empty() ? "" : "; did you mean " + guess + "?", " (berth ", chosen->name, " --help lists them)");
  } catch (const CLI::ParseError& error) {
    fail(ExitCode::kUsage, "berth ", chosen->name, ": ", error.what(), " (berth ", chosen->name, " --help)");
  }
  line.options = effective_options(app);
  line.for_shell = shell_command(app);
  if (auto* sweep = std::get_if<SweepCommand>(&line.command)) {
    sweep->train_arguments = train_arguments(app);
    for (std::string& spec : sweep->sweep.search) spec = searched(app, spec);
  }
  return line;
}

}  // namespace berth::launch
