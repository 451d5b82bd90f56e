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

// Options of berth train that say how, not what.
constexpr std::array<std::string_view, 9> kFree{"--threads",       "--ddp-timeout", "--device",
                                                "--disable-tqdm",  "--log-level",   "--logging-dir",
                                                "--logging-steps", "--report-to",   "--allow-change"};

std::vector<std::string> fixed_options_of(const Json& sweep) {
  std::vector<std::string> fixed;
  for (const Json& argument : sweep.value("train_options", Json::array())) {
    const std::string text = argument.is_string() ? argument.get<std::string>() : "";
    if (std::find(kFree.begin(), kFree.end(), std::string_view(text).substr(0, text.find('='))) == kFree.end())
      fixed.push_back(text);
  }
  return fixed;
}

// What a trial is, without what has come of it.
Json identity(const Json& trial) {
  Json is = Json::object();
  for (const char* key : {"options", "seed", "fold"})
    if (trial.is_object() && trial.contains(key)) is[key] = trial[key];
  return is;
}

}  // namespace

fs::path trial_folder(const fs::path& sweep, size_t trial) { return sweep / concat("trial-", trial); }

void Claims::clear() const { fs::remove_all(folder_); }

bool Claims::take(size_t round, size_t trial) const {
  fs::create_directories(folder_);
  return fs::create_directory(folder_ / concat(round, "-", trial));
}

void check_same_sweep(const Json& before, const Json& now, const std::string& folder) {
  const std::string advice =
      ": give the options that it began with (more --num-trials or --num-seeds may follow), another --output-dir, or "
      "--overwrite-output-dir to start over";
  const Json old = before.is_object() ? before.value("trials", Json::array()) : Json::array();
  const Json& trials = now["trials"];
  bool same = old.is_array() && old.size() <= trials.size();
  for (size_t i = 0; same && i < old.size(); ++i) same = identity(old[i]) == identity(trials[i]);
  check_usage(same, folder, " holds a sweep of other trials", advice);
  std::vector<std::string> was = fixed_options_of(before), is = fixed_options_of(now), differ;
  std::sort(was.begin(), was.end());
  std::sort(is.begin(), is.end());
  std::set_symmetric_difference(was.begin(), was.end(), is.begin(), is.end(), std::back_inserter(differ));
  check_usage(differ.empty(), folder, " holds a sweep with other options (", differ.empty() ? "" : differ.front(), ")", advice);
  check_usage(before.value("ranks_per_trial", Json()) == now["ranks_per_trial"], folder, " holds a sweep with --ranks-per-trial ",
              data::dump_json(before.value("ranks_per_trial", Json())), advice);
}

std::vector<std::string> ensemble_members(const std::string& name) {
  const fs::path folder = name, file = folder / kSweepFile;
  std::error_code unreadable;
  if (!fs::is_regular_file(file, unreadable)) return {name};
  const Json sweep = data::parse_json<Json>(data::read_file(file), file.string());
  std::vector<std::string> members;
  for (const Json& member : sweep.is_object() ? sweep.value("ensemble", Json::array()) : Json::array()) {
    const fs::path trial = member.is_string() ? member.get<std::string>() : "";
    check(trial.has_filename() && trial == trial.filename(), file.string(), ": the ensemble names ", data::dump_json(member),
          ", which is no trial's folder");
    members.push_back((folder / trial).string());
  }
  check(!members.empty(), name, ": this sweep has no ensemble yet: it is not finished, or no trial is good enough");
  return members;
}

}  // namespace berth::train
