#include "trainer/checkpoint/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "data/check.h"
#include "data/files/failpoint.h"

namespace berth::train {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "checkpoint-", kOldMark = ".old-berth", kSupersededMark = ".superseded";
constexpr std::string_view kModelFiles[] = {"config.json", "model.safetensors"};
constexpr std::string_view kTrainingFiles[] = {kOptimizerFile, kTrainerStateFile};
constexpr std::string_view kRequired[] = {kModelFiles[0], kModelFiles[1], kTrainerStateFile};

fs::path folder_of(const fs::path& run, int64_t step) { return run / concat(kPrefix, step); }

fs::path marked(const fs::path& folder, std::string_view mark) {
  fs::path result = folder;
  result += mark;
  return result;
}

// The step in "checkpoint-<step>"; nothing for other names.
std::optional<int64_t> step_of(const std::string& name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  const char *begin = name.data() + kPrefix.size(), *end = name.data() + name.size();
  int64_t step = 0;
  const auto [stop, error] = std::from_chars(begin, end, step);
  const bool plain = error == std::errc() && stop == end && step >= 0 && name == concat(kPrefix, step);
  return plain ? std::optional(step) : std::nullopt;
}

// Out of sight first, so that a removal that is cut short leaves no damaged checkpoint.
void remove_folder(const fs::path& folder) {
  std::error_code error;
  if (!fs::exists(folder, error)) return;
  fs::path waste = folder;
  try {
    waste = data::make_temporary_folder(folder);
    data::failpoint("removal");
    data::rename_path(folder, waste);
    data::failpoint("removal");
  } catch (const std::system_error&) {
    fs::remove_all(folder, error);
  }
  fs::remove_all(waste, error);
}

void write_parts(const fs::path& folder, const CheckpointParts& parts) {
  std::vector<data::FileDigest> files = parts.write_model(folder);
  data::failpoint_or_throw("after-model");
  if (parts.optimizer) {
    data::DurableFile optimizer(folder / kOptimizerFile);
    write_safetensors(*parts.optimizer, [&](std::string_view bytes) { optimizer.write(bytes); });
    files.push_back(optimizer.commit());
  }
  data::failpoint_or_throw("after-optimizer");
  files.push_back(data::write_durably(folder / kTrainerStateFile, parts.trainer_state));
  data::failpoint_or_throw("before-manifest");
  data::write_durably(folder / kManifestName, manifest_text(files));
  data::failpoint_or_throw("after-manifest");
  data::sync_folder(folder);
}

// A checkpoint of the same step makes way, and comes back if this fails or the job dies in between (remove_leftovers).
void publish(const fs::path& temporary, const fs::path& final) {
  data::failpoint_or_throw("before-rename");
  const fs::path old = marked(final, kOldMark);
  remove_folder(old);
  if (fs::exists(final)) data::rename_path(final, old);
  std::error_code error;
  data::rename_path(temporary, final, error);
  if (error) {
    std::error_code ignored;
    data::rename_path(old, final, ignored);
    fail(ExitCode::kInternal, temporary.string(), ": cannot be renamed to ", final.string(), ": ", error.message());
  }
  data::failpoint_or_throw("after-rename");
  data::sync_folder(final.parent_path());
  remove_folder(old);
}

// `folder` with a mark, and a number if that name is taken.
fs::path free_name(const fs::path& folder, std::string_view mark) {
  fs::path name = marked(folder, mark);
  for (int i = 2; fs::exists(name); ++i) name = marked(folder, concat(mark, i));
  return name;
}

std::string set_aside(const fs::path& folder, const std::string& reason) {
  const fs::path name = free_name(folder, ".bad");
  std::error_code error;
  data::rename_path(folder, name, error);
  if (error) return concat(reason, "; ", folder.string(), " cannot be set aside (", error.message(), ") and is passed over");
  return concat(reason, "; the checkpoint is set aside as ", name.string());
}

bool is_complete(const fs::path& folder) {
  try {
    verify_checkpoint(folder, Verify::kSizes);
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

std::string save_checkpoint(const fs::path& run, const CheckpointParts& parts) {
  const fs::path final = folder_of(run, parts.step);
  fs::path temporary;
  try {
    data::make_folders(run);
    temporary = data::make_temporary_folder(final);
    write_parts(temporary, parts);
    publish(temporary, final);
    return "";
  } catch (const std::exception& error) {
    std::error_code ignored;
    if (!temporary.empty()) fs::remove_all(temporary, ignored);
    return concat(final.string(), " was not saved: ", error.what());
  }
}

std::string no_room(const fs::path& folder, uint64_t bytes) {
  constexpr double kMega = 1e6;
  std::error_code unknown;
  const fs::space_info space = fs::space(folder, unknown);
  if (unknown || space.available >= bytes) return "";
  return concat("it takes ", std::ceil(static_cast<double>(bytes) / kMega), " MB, and ",
                std::floor(static_cast<double>(space.available) / kMega), " MB are free in ", folder.string());
}

std::vector<Checkpoint> list_checkpoints(const fs::path& run) {
  std::vector<Checkpoint> checkpoints;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(run, ignored)) {
    const auto step = step_of(entry.path().filename().string());
    if (step && entry.is_directory()) checkpoints.push_back({entry.path(), *step});
  }
  std::sort(checkpoints.begin(), checkpoints.end(), [](const Checkpoint& a, const Checkpoint& b) { return a.step < b.step; });
  return checkpoints;
}

void verify_checkpoint(const fs::path& folder, Verify verify) {
  check(fs::is_directory(folder), folder.string(), ": is not a checkpoint folder");
  verify_manifest(folder, kRequired, verify);
}

bool holds_model_alone(const fs::path& folder) {
  const fs::path manifest = folder / kManifestName;
  try {
    const std::vector<data::FileDigest> files = parse_manifest(data::read_file(manifest, kMaxManifest), manifest.string());
    return std::none_of(files.begin(), files.end(), [](const data::FileDigest& file) { return file.name == kOptimizerFile; });
  } catch (const Error&) {
    return false;
  }
}

void verify_model_folder(const fs::path& folder) {
  if (!fs::exists(folder / kManifestName)) return;
  try {
    data::retried(data::kReadWaits, [&] { verify_manifest(folder, kModelFiles, Verify::kContent, kTrainingFiles); });
  } catch (const Error& error) {
    fail(error.code(), error.what(), "; if it was changed on purpose, remove ", (folder / kManifestName).string(),
         " to use it as it is");
  }
}

CheckpointSearch find_newest_valid(const fs::path& run, std::span<const std::chrono::milliseconds> waits, Damaged damaged) {
  CheckpointSearch search;
  std::vector<Checkpoint> checkpoints = list_checkpoints(run);
  for (; !checkpoints.empty() && !search.newest; checkpoints.pop_back()) {
    if (holds_model_alone(checkpoints.back().folder)) {
      search.models.push_back(checkpoints.back());
      continue;
    }
    try {
      data::retried(waits, [&] { verify_checkpoint(checkpoints.back().folder); });
      search.newest = checkpoints.back();
    } catch (const data::ReadError& error) {
      fail(
          ExitCode::kInternal, error.what(),
          "; nothing says that this checkpoint is damaged, so it is neither used nor set aside: start again when it can be read, "
          "or move the folder away to go on from an older checkpoint");
    } catch (const Error& error) {
      search.warnings.push_back(damaged == Damaged::kSetAside ? set_aside(checkpoints.back().folder, error.what())
                                                              : concat(error.what(), "; the checkpoint would be set aside"));
    }
  }
  return search;
}

void remove_leftovers(const fs::path& run) {
  std::vector<fs::path> entries;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(run, ignored)) entries.push_back(entry.path());
  for (const fs::path& entry : entries) {
    const std::string name = entry.filename().string();
    if (name.find(data::kTempMark) != std::string::npos) {
      // Folders are the owner's; a file may be another program's, of a prediction into the run folder, say.
      if (fs::is_directory(fs::symlink_status(entry, ignored))) {
        fs::remove_all(entry, ignored);
      } else {
        data::remove_if_waste(entry);
      }
    }
    if (!name.starts_with(kPrefix) || !name.ends_with(kOldMark)) continue;
    const fs::path current = run / name.substr(0, name.size() - kOldMark.size());
    if (fs::exists(current)) {
      remove_folder(entry);
    } else {
      data::rename_path(entry, current, ignored);
    }
  }
}

void supersede(const fs::path& path) {
  if (fs::exists(path)) data::rename_path(path, free_name(path, kSupersededMark));
}

void supersede_after(const fs::path& run, int64_t step) {
  for (const Checkpoint& checkpoint : list_checkpoints(run))
    if (checkpoint.step > step) supersede(checkpoint.folder);
}

void remove_checkpoints(const fs::path& run, std::span<const int64_t> steps) {
  for (const int64_t step : steps) remove_folder(folder_of(run, step));
}

void remove_superseded(const fs::path& run, const std::set<std::string>& spared) {
  std::vector<fs::path> folders;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(run, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(kPrefix) && name.find(kSupersededMark) != std::string::npos && !spared.contains(name))
      folders.push_back(entry.path());
  }
  for (const fs::path& folder : folders) remove_folder(folder);
}

std::vector<fs::path> rotate_checkpoints(const fs::path& run, int64_t limit, std::optional<int64_t> best_step) {
  std::vector<fs::path> removed;
  const std::vector<Checkpoint> checkpoints = list_checkpoints(run);
  int64_t surplus = static_cast<int64_t>(checkpoints.size()) - limit;
  if (limit <= 0 || surplus <= 0) return removed;
  const auto newest = [&](bool whole) {
    const auto found = std::find_if(checkpoints.rbegin(), checkpoints.rend(), [&](const Checkpoint& c) {
      return is_complete(c.folder) && !(whole && holds_model_alone(c.folder));
    });
    return found == checkpoints.rend() ? std::nullopt : std::optional(found->step);
  };
  const std::optional<int64_t> last = newest(false), last_whole = newest(true);
  if (!last) return removed;
  for (const Checkpoint& checkpoint : checkpoints) {
    if (surplus <= 0) break;
    if (checkpoint.step == last || checkpoint.step == last_whole || checkpoint.step == best_step) continue;
    remove_folder(checkpoint.folder);
    removed.push_back(checkpoint.folder);
    --surplus;
  }
  return removed;
}

}  // namespace berth::train
