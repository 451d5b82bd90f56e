#include <CLI/CLI.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/check.h"
#include "data/files/files.h"
#include "data/json/json.h"
#include "launcher/options.h"

namespace berth::launch {
namespace {

constexpr uint64_t kMaxBytes = 1 << 20;

std::string read_text(const std::string& path) {
  try {
    return data::read_file(path, kMaxBytes);
  } catch (const Error& error) {
    fail(ExitCode::kUsage, "--config ", error.what());
  }
}

std::string as_text(const nlohmann::json& value) { return value.is_string() ? value.get<std::string>() : data::dump_json(value); }

std::vector<ConfigOption> from_json(const std::string& text, const std::string& path) {
  const auto file = data::parse_json(text, path, {.bytes = kMaxBytes}, ExitCode::kUsage);
  check_usage(file.is_object(), path, ": expected one JSON object of options, found ", file.type_name());
  std::vector<ConfigOption> options;
  for (const auto& [name, value] : file.items()) {
    if (value.is_null()) continue;  // as transformers writes what was not set
    const bool takes_object = name == "lr_scheduler_kwargs" || name == "lr-scheduler-kwargs";
    check_usage(!value.is_object() || takes_object, path, ": option ", name,
                " is an object; expected a value or a list of values");
    check_usage(!value.is_array() || !value.empty(), path, ": option ", name, " is an empty list: give a value, or leave it out");
    ConfigOption& option = options.emplace_back(ConfigOption{.name = name, .values = {}});
    for (const nlohmann::json& one : value.is_array() ? value : nlohmann::json::array({value}))
      option.values.push_back(as_text(one));
  }
  return options;
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

}  // namespace

std::vector<ConfigOption> read_config_file(const std::string& path) {
  const std::string text = read_text(path);
  return std::filesystem::path(path).extension() == ".json" ? from_json(text, path) : from_toml(text, path);
}

}  // namespace berth::launch
