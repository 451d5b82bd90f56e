#include "launcher/config_file.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/log/trivial.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/check.h"
#include "data/files/files.h"
#include "data/json/json.h"
#include "data/words.h"
#include "launcher/option_names.h"
#include "launcher/training_arguments.h"

namespace berth::launch {
namespace {

constexpr uint64_t kMaxBytes = 1 << 20;

struct ConfigOption {
  std::string name;                 // as it stands in the file, without "--"
  std::vector<std::string> values;  // several: a list
};
struct ConfigFile {
  std::string path;
  std::vector<ConfigOption> options;
  TrainerNotes trainer;
};

std::string read_text(const std::string& path) {
  try {
    return data::read_file(path, kMaxBytes);
  } catch (const Error& error) {
    fail(ExitCode::kUsage, "--config ", error.what());
  }
}

std::string as_text(const nlohmann::json& value) { return value.is_string() ? value.get<std::string>() : data::dump_json(value); }

ConfigFile from_json(const std::string& text, const std::string& path, bool of_train) {
  auto file = data::parse_json(text, path, {.bytes = kMaxBytes}, ExitCode::kUsage);
  check_usage(file.is_object(), path, ": expected one JSON object of options, found ", file.type_name());
  check_usage(of_train || !file.contains("accelerator_config"), path,
              ": holds Trainer's arguments, which are for berth train and sweep; leave this --config out");
  ConfigFile config{.path = path, .options = {}, .trainer = of_train ? translate_trainer_settings(file) : TrainerNotes{}};
  for (const auto& [name, value] : file.items()) {
    if (value.is_null()) continue;  // as transformers writes what was not set
    const bool takes_object = name == "lr_scheduler_kwargs" || name == "lr-scheduler-kwargs";
    check_usage(!value.is_object() || takes_object, path, ": option ", name,
                " is an object; expected a value or a list of values");
    check_usage(!value.is_array() || !value.empty(), path, ": option ", name, " is an empty list: give a value, or leave it out");
    ConfigOption& option = config.options.emplace_back(ConfigOption{.name = name, .values = {}});
    for (const nlohmann::json& one : value.is_array() ? value : nlohmann::json::array({value}))
      option.values.push_back(as_text(one));
  }
  return config;
}

std::vector<ConfigOption> from_toml(const std::string& text, const std::string& path) {
  std::istringstream in(text);
  std::vector<ConfigOption> options;
  try {
    for (const CLI::ConfigItem& item : CLI::ConfigTOML().from_config(in)) {
      if (item.name == "++" || item.name == "--") continue;  // CLI11's marks for a section's start and end
      options.push_back({.name = item.name, .values = item.inputs});
    }
  } catch (const CLI::Error& error) {
    fail(ExitCode::kUsage, path, ": not TOML: ", error.what());
  }
  return options;
}

ConfigFile read_config(const std::string& path, bool of_train) {
  const std::string ending = std::filesystem::path(path).extension().string();
  check_usage(ending != ".yaml" && ending != ".yml", path,
              ": YAML is not read; write TOML (learning-rate = 5e-5) or JSON ({\"learning_rate\": 5e-5})");
  const std::string text = read_text(path);
  if (ending == ".json") return from_json(text, path, of_train);
  return {.path = path, .options = from_toml(text, path), .trainer = {}};
}

// An option takes one value, unless its values are a list or each of them is taken when it is met.
bool takes_one(const CLI::Option& option) { return option.get_expected_max() <= 1 && !option.get_trigger_on_parse(); }

// Throws Error(kUsage) that lists what `app` knows nothing of and what of Trainer's it cannot do, unless `line` gives the option.
void check_possible(const CLI::App& app, const ConfigFile& file, const std::vector<std::string>& line) {
  constexpr size_t kMost = 8;  // unknown names; the file of another program may have many
  std::vector<std::string> refused, unknown;
  for (const TrainerNote& note : file.trainer.refused) {
    const std::string option = option_in(app, canonical("--" + note.setting->option));
    const auto gives = [&](const std::string& argument) { return option_in(app, argument) == option; };
    if (note.setting->option.empty() || std::none_of(line.begin(), line.end(), gives))
      refused.push_back(concat(note.text(), " (", note.setting->remark, ")"));
  }
  for (const ConfigOption& given : file.options) {
    const std::string name = canonical("--" + given.name);
    if (app.get_option_no_throw(name) == nullptr)
      unknown.push_back(given.name + (unknown.size() < kMost ? option_hint(app, name) : ""));
  }
  std::vector<std::string> faults;
  if (!refused.empty())
    faults.push_back(concat(app.get_name(), " cannot do what Trainer's settings ask for: ", joined(refused, "; ")));
  if (!unknown.empty())
    faults.push_back(concat("unknown option", unknown.size() > 1 ? "s " : " ", listed(unknown, kMost), " (", app.get_name(),
                            " --help-all lists them)"));
  check_usage(faults.empty(), file.path, ": ", joined(faults, "; also "));
}

// The options that `line` gives, or has berth sweep search.
std::vector<std::string> given_by(const std::vector<std::string>& line) {
  std::vector<std::string> given;
  bool searches = false;
  for (const std::string& argument : line) {
    const bool is_name = argument.starts_with("--");
    if (is_name) searches = argument == "--search";
    const std::string_view spec = argument.starts_with("--search=") ? std::string_view(argument).substr(9)
                                  : searches && !is_name            ? std::string_view(argument)
                                                                    : std::string_view();
    given.push_back(spec.empty() ? argument
                                 : canonical(concat("--", spec.substr(std::min(spec.find_first_not_of('-'), spec.size())))));
  }
  return given;
}

}  // namespace

void log_remarks(const std::vector<ConfigRemark>& remarks) {
  for (const ConfigRemark& remark : remarks) {
    BOOST_LOG_TRIVIAL(info) << remark.summary;
    BOOST_LOG_TRIVIAL(debug) << remark.names;
  }
}

std::vector<std::string> expand_config(const CLI::App& app, const std::vector<std::string>& arguments,
                                       std::vector<ConfigRemark>& remarks) {
  std::vector<std::string> files, from_files, rest;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const bool separate = arguments[i] == "--config";
    check_usage(!separate || i + 1 < arguments.size(), "--config needs a file");
    if (separate || arguments[i].starts_with("--config="))
      files.push_back(separate ? arguments[++i] : arguments[i].substr(9));
    else
      rest.push_back(arguments[i]);
  }
  const auto forget = [&](const std::string& option) {
    std::erase_if(from_files, [&](const std::string& earlier) { return option_in(app, earlier) == option; });
  };
  const std::vector<std::string> given_there = given_by(rest);
  for (const std::string& path : files) {
    const ConfigFile file = read_config(path, has_train_options(app));
    check_possible(app, file, given_there);
    for (const ConfigOption& given : file.options) {
      const std::string name = canonical("--" + given.name);
      check_usage(given.values.size() == 1 || !takes_one(*app.get_option_no_throw(name)), path, ": option ", given.name,
                  " is a list of ", given.values.size(), " values; it takes one");
      forget(option_in(app, name));
      for (const std::string& value : given.values) from_files.push_back(concat(name, "=", value));
    }
    if (const auto& idle = file.trainer.idle; !idle.empty())
      remarks.push_back({concat(path, ": ", file.trainer.summary()),
                         concat(path, ": without effect: ", joined(idle, ", ", &TrainerNote::text))});
  }
  for (const std::string& argument : given_there) forget(option_in(app, argument));
  from_files.insert(from_files.end(), rest.begin(), rest.end());
  return from_files;
}

}  // namespace berth::launch
