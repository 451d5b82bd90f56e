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

#include "launcher/cmd_evaluate.h"
#include "launcher/cmd_inspect.h"
#include "launcher/cmd_predict.h"
#include "launcher/cmd_prepare.h"
#include "launcher/cmd_report.h"
#include "launcher/cmd_sweep.h"
#include "launcher/cmd_train.h"

namespace CLI {
class App;
}

namespace berth::launch {

struct CommandLine {
  std::variant<PrepareCommand, TrainCommand, SweepCommand, EvaluateCommand, PredictCommand, InspectOptions, ReportCommand>
      command;
  std::string log_level = "info";
  std::string text;                // the command line as given
  std::string for_shell;           // the same with what --config says, quoted where a shell wants it
  nlohmann::ordered_json options;  // every option of the subcommand and its value, for provenance
};

// The group of berth sweep's own options; its others are those of berth train.
inline constexpr const char* kSweepGroup = "Sweep";

// One subcommand: its name, its line in the overview, and what declares its options on `app`, to be stored in `line`.
struct Subcommand {
  std::string name, help;
  std::function<void(CLI::App& app, CommandLine& line)> declare;
};
const std::vector<Subcommand>& subcommands();

// Thrown for --help and --version: print `what` to stdout and leave with exit code 0.
struct HelpRequested {
  std::string what;
};

// Throws Error(kUsage) with a hint, or HelpRequested.
CommandLine parse_command_line(const std::vector<std::string>& arguments);

// An option of a --config file.
struct ConfigOption {
  std::string name;                 // as it stands there, without "--"
  std::vector<std::string> values;  // several: a list
};
// The options of --config FILE in their order there. JSON if the name ends in .json, else TOML. Throws Error(kUsage).
std::vector<ConfigOption> read_config_file(const std::string& path);

}  // namespace berth::launch
