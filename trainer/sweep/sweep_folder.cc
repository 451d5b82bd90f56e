#include "trainer/sweep/sweep_folder.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "data/check.h"
#include "data/files/files.h"
#include "data/json/json.h"

namespace berth::train {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// Options of berth train that say how, not what; the data are known by their content.
constexpr std::array<std::string_view, 13> kFree{
    "--max-time",      "--threads",     "--ddp-timeout",         "--device",       "--disable-tqdm",
    "--log-level",     "--logging-dir", "--report-to",           "--allow-change", "--output-dir",
    "--logging-steps", "--data",        "--overwrite-output-dir"};
constexpr std::string_view kModel = "--model=";

constexpr const char* kAdvice =
    ": give the options that it began with (more seeds or configurations may follow), another --output-dir, or "
    "--overwrite-output-dir to start over";

}  // namespace

void Claims::clear() const { fs::remove_all(folder_); }

bool Claims::take(size_t round, size_t trial) const {
  fs::create_directories(folder_);
  return fs::create_directory(folder_ / concat(round, "-", trial));
}

void Claims::stop_all() const { fs::create_directories(stop_mark()); }

std::vector<std::string> that_count(const std::vector<std::string>& arguments) {
  std::vector<std::string> counting;
  for (const std::string& argument : arguments) {
    if (!argument.starts_with("--")) continue;
    const std::string_view name = std::string_view(argument).substr(0, argument.find('='));
    if (std::find(kFree.begin(), kFree.end(), name) != kFree.end()) continue;
    std::error_code unreadable;
    if (argument.starts_with(kModel) && fs::exists(argument.substr(kModel.size()), unreadable))
      counting.push_back(concat(kModel, fs::weakly_canonical(argument.substr(kModel.size())).string()));
    else
      counting.push_back(argument);
  }
  std::sort(counting.begin(), counting.end());
  return counting;
}

void check_same_sweep(const Json& before, const Json& now, const std::string& folder) {
  check(before.is_object(), folder, "/", kSweepFile, ": is no sweep of berth");
  for (const char* key : {"data_sha256", "ranks_per_trial", "halving_factor"})
    check_usage(before.value(key, Json()) == now[key], folder, " holds a sweep with another ", key, kAdvice);
}

void check_same_trial(const fs::path& run, const std::vector<std::string>& before, const std::vector<std::string>& now) {
  std::vector<std::string> differ;
  std::set_symmetric_difference(before.begin(), before.end(), now.begin(), now.end(), std::back_inserter(differ));
  check_usage(before.empty() || differ.empty(), run.string(), " was begun with other options (",
              differ.empty() ? "" : differ.front(), ")", kAdvice);
}

std::vector<std::string> ensemble_members(const std::string& name) {
  const fs::path folder = name, file = folder / kSweepFile;
  std::error_code unreadable;
  if (!fs::is_regular_file(file, unreadable)) return {name};
  const Json sweep = data::parse_json<Json>(data::read_file(file), file.string());
  std::vector<std::string> members;
  for (const Json& member : sweep.is_object() ? sweep.value("ensemble", Json::array()) : Json::array()) {
    const fs::path trial = member.is_string() ? member.get<std::string>() : "";
    check(trial.has_filename() && trial == trial.filename() && trial != "." && trial != "..", file.string(),
          ": the ensemble names ", data::dump_json(member), ", which is no trial's folder");
    members.push_back((folder / trial).string());
  }
  check(!members.empty(), name, ": this sweep has no ensemble yet: it is not finished, or no trial is good enough");
  return members;
}

}  // namespace berth::train
