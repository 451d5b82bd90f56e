// berth inspect: what is in a prepared data set, a model folder, a checkpoint or a run folder.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>

namespace berth::launch {

struct InspectOptions {
  std::filesystem::path path;
  bool json = false;  // for machines: one JSON object with the same content
};

// Returns the exit code: kBadInput if it is a checkpoint that is not whole, though it could be described. Throws Error(kBadInput)
// if the path is none of the four.
int run_inspect(const InspectOptions& options, std::ostream& out);

// Each begins with "kind" and "path".
nlohmann::ordered_json inspect_dataset(const std::filesystem::path& path);
nlohmann::ordered_json inspect_model(const std::filesystem::path& folder);
nlohmann::ordered_json inspect_checkpoint(const std::filesystem::path& folder);
nlohmann::ordered_json inspect_run(const std::filesystem::path& folder);

// An object as indented text: scalars as "key  value", objects as sections, lists of objects as tables.
std::string describe_as_text(const nlohmann::ordered_json& object);

}  // namespace berth::launch
