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

std::vector<std::string> from_json(const std::string& text, const std::string& path) {
  const auto file = data::parse_json(text, path, {.bytes = kMaxBytes}, ExitCode::kUsage);
  check_usage(file.is_object(), path, ": expected one JSON object of options, found ", file.type_name());
  std::vector<std::string> arguments;
  for (const auto& [name, value] : file.items()) {
    if (value.is_null()) continue;  // as transformers writes what was not set
    check_usage(!value.is_object(), path, ": option ", name, " is an object; expected a value or a list of values");
    for (const nlohmann::json& one : value.is_array() ? value : nlohmann::json::array({value}))
      arguments.push_back("--" + name + "=" + as_text(one));
  }
  return arguments;
}

std::vector<std::string> from_toml(const std::string& text, const std::string& path) {
  std::istringstream in(text);
  std::vector<std::string> arguments;
  try {
    for (const CLI::ConfigItem& item : CLI::ConfigTOML().from_config(in)) {
      if (item.name == "++" || item.name == "--") continue;  // CLI11's marks for a section's start and end
      for (const std::string& value : item.inputs) arguments.push_back("--" + item.name + "=" + value);
    }
  } catch (const CLI::Error& error) {
    fail(ExitCode::kUsage, path, ": not TOML: ", error.what());
  }
  return arguments;
}

}  // namespace

std::vector<std::string> read_config_file(const std::string& path) {
  const std::string text = read_text(path);
  return std::filesystem::path(path).extension() == ".json" ? from_json(text, path) : from_toml(text, path);
}

}  // namespace berth::launch
