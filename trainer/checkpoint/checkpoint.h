// Checkpoint folders of a run, rank 0's business alone: RUN/checkpoint-<step>/ is there whole, on disk and with a manifest, or it
// is not there.
//
//   checkpoint-500/                   a Hugging Face model folder (config.json, model.safetensors, tokenizer files) and
//     optimizer.safetensors           exp_avg.<parameter>, exp_avg_sq.<parameter>, with --ema-decay weight.<parameter>, fp32; not there if it holds the model alone
//     trainer_state.json              run_state.h
//     manifest.json                   manifest.h; written last
//   checkpoint-500.tmp-berth-<pid>/   being written, or left by a job that died meanwhile
//   checkpoint-500.old-berth/         replaced by a newer checkpoint of the same step, about to be removed
//   checkpoint-500.bad                set aside: not what its manifest says
//   checkpoint-500.superseded         of a branch of the run that was given up: training went on from an earlier step
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "data/files/files.h"
#include "trainer/checkpoint/manifest.h"
#include "trainer/checkpoint/safetensors.h"

namespace berth::train {

inline constexpr std::string_view kOptimizerFile = "optimizer.safetensors", kTrainerStateFile = "trainer_state.json";

struct CheckpointParts {
  int64_t step = 0;
  // save_pretrained (pretrained.h)
  std::function<std::vector<data::FileDigest>(const std::filesystem::path& folder)> write_model;
  std::optional<std::vector<TensorView>> optimizer;  // unset: the model alone
  std::string trainer_state;
};

// Writes RUN/checkpoint-<step>. A failed save (full disk, failing disk, …) is a value, not an exception: the run goes on, the
// checkpoints that were there stay, nothing half-written is left. The result is "" or
// "<folder> was not saved: <why>".
[[nodiscard]] std::string save_checkpoint(const std::filesystem::path& run, const CheckpointParts& parts);

// "", or that the file system of `folder` has no room for so many bytes; one that does not tell has. (Quotas show only when they are
// met.)
std::string no_room(const std::filesystem::path& folder, uint64_t bytes);

struct Checkpoint {
  std::filesystem::path folder;
  int64_t step = 0;
};

// All of a run's checkpoint-<number> folders, by step; whether they are valid is not looked at.
std::vector<Checkpoint> list_checkpoints(const std::filesystem::path& run);

// Throws Error(kBadInput) that says what is wrong with it.
void verify_checkpoint(const std::filesystem::path& folder, Verify verify = Verify::kContent);

// Whether a checkpoint was saved without the optimizer's state (--save-only-model), so that no run can go on from it. False if its
// manifest cannot be read.
bool holds_model_alone(const std::filesystem::path& folder);

// Of a checkpoint taken as a model: the same for all but its training state, which may be missing. A folder without a manifest
// comes from elsewhere and is believed. Reading goes through data::retried.
void verify_model_folder(const std::filesystem::path& folder);

struct CheckpointSearch {
  std::optional<Checkpoint> newest;
  std::vector<Checkpoint> models;     // newer ones that hold the model alone
  std::vector<std::string> warnings;  // one sentence for each checkpoint that was set aside
};
enum class Damaged { kSetAside, kLeave };
// The newest checkpoint that a run can go on from and that is what its manifest says. Newer ones that are proven not to be are renamed to
// checkpoint-<step>.bad, unless `damaged` says to leave them. One that cannot be read, after all `waits`, is left alone: Error(kInternal).
CheckpointSearch find_newest_valid(const std::filesystem::path& run,
                                   std::span<const std::chrono::milliseconds> waits = data::kReadWaits,
                                   Damaged damaged = Damaged::kSetAside);

// Removes what jobs that died in mid-save left behind, but not the files that a live process is writing. To be called once the run
// folder is owned (run_owner.h).
void remove_leftovers(const std::filesystem::path& run);

// Renames `path`, if it is there, to <path>.superseded, with a number if that is taken.
void supersede(const std::filesystem::path& path);
// Renames the checkpoints of later steps to checkpoint-<step>.superseded, so that a run that goes on from `step` (-1: from the
// start) is not mixed up with them.
void supersede_after(const std::filesystem::path& run, int64_t step);

// Removes the checkpoints of these steps, those that are there. Failures to remove are not errors.
void remove_checkpoints(const std::filesystem::path& run, std::span<const int64_t> steps);
// Removes all checkpoint-<step>.superseded but those of these names.
void remove_superseded(const std::filesystem::path& run, const std::set<std::string>& spared);

// Removes the oldest checkpoints until `limit` are left (0: no limit). The newest valid one, the newest that a run can go on
// from and that of `best_step` always stay; if no valid one is left nothing is removed. Returns what was removed; failures to remove are not errors.
std::vector<std::filesystem::path> rotate_checkpoints(const std::filesystem::path& run, int64_t limit,
                                                      std::optional<int64_t> best_step);

}  // namespace berth::train
