// The command line. The only place that names flags: every other file sees plain structs.
//
// Names are those of Hugging Face's TrainingArguments and example scripts, with dashes or underscores alike. A JSON or TOML file
// given by --config can hold any option of the subcommand; the command line wins.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <variant>
#include <vector>

#include "launcher/cmd_check.h"
#include "launcher/cmd_evaluate.h"
#include "launcher/cmd_generate.h"
#include "launcher/cmd_inspect.h"
#include "launcher/cmd_predict.h"
#include "launcher/cmd_prepare.h"
#include "launcher/cmd_report.h"
#include "launcher/cmd_scale.h"
#include "launcher/cmd_sweep.h"
#include "launcher/cmd_train.h"
#include "launcher/config_file.h"

namespace CLI {
class App;
}

namespace berth::launch {

struct CommandLine {
  std::variant<PrepareCommand, TrainCommand, SweepCommand, EvaluateCommand, PredictCommand, InspectOptions, ReportCommand,
               ScaleCommand, CheckCommand, CompletionCommand, GenerateCommand>
      command;
  std::string log_level = "info";
  std::string text;                          // the command line as given
  std::string for_shell;                     // the same with what --config says, quoted where a shell wants it
  nlohmann::ordered_json options;            // every option of the subcommand and its value, for provenance
  std::vector<std::string> changed_options;  // those of them that were given another value than their default
  std::vector<ConfigRemark> remarks;
};

// The group of berth sweep's own options; its others are those of berth train.
inline constexpr const char* kSweepGroup = "Sweep";

// The group of the options that all subcommands have.
inline constexpr const char* kGeneralGroup = "General";

struct Example {
  std::string what, command;  // one line, as a shell takes it
};

// One subcommand. What there is to say of its options is declared with them: help, manual page and completion are made of that.
struct Subcommand {
  std::string name, help;                                         // `help`: its line in the overview
  std::function<void(CLI::App& app, CommandLine& line)> declare;  // its options, to be stored in `line`
  std::string usage = {};                                         // what is needed besides the required options
  std::vector<std::string> essentials = {};                       // options that --help shows; --help-all shows all
  std::vector<Example> examples = {};
  bool hidden = false;  // not for people
};
const std::vector<Subcommand>& subcommands();

// Declares what `subcommand` takes on `app`: its own options and those that all have. Values go to `line`.
void declare_options(CLI::App& app, const Subcommand& subcommand, CommandLine& line);

// Thrown for --help, --help-all and --version: print `what` to stdout and leave with exit code 0.
struct HelpRequested {
  std::string what;
};

// Throws Error(kUsage) with a hint, or HelpRequested.
CommandLine parse_command_line(const std::vector<std::string>& arguments);

}  // namespace berth::launch
