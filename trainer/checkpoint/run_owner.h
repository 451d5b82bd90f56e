// Who writes to a run folder: one live job at a time, without lock files (they do not work on every cluster's file system).
//
// RUN/.berth-owner.json says who owns the folder: host, boot, process, Slurm job. While the owner lives, a thread touches the
// record every heartbeat. Another job takes the folder over at once if the record is surely stale:
//   - same host, boot and process namespace: the process is gone (or its number is now another process, seen by its start time);
//   - the same Slurm job after a requeue (higher SLURM_RESTART_COUNT): Slurm has ended the earlier attempt.
// A live process on the same host is refused at once. In all other cases the record is watched: if the owner touches it, it is
// alive and the job is refused; if it stays untouched for the patience, its owner is dead (or cut off, and will see at its next
// heartbeat that it lost the folder). No clocks are compared between hosts. Of several jobs that start at once one wins: the
// record is made by link(2), which fails where it already is; a dead owner's is replaced by the one that first makes a claim, a file
// named after that record.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

namespace berth::train {

// The process that asks for the folder.
struct OwnerIdentity {
  std::string host, boot_id, pid_namespace;
  int64_t pid = 0;
  uint64_t start_ticks = 0;  // of the process, since boot: with pid, unique until the next boot
  std::string slurm_job_id;  // "" outside Slurm
  int64_t slurm_restarts = 0;
  std::string started;  // UTC, for people

  static OwnerIdentity of_this_process();
};

struct OwnerOptions {
  std::chrono::milliseconds heartbeat{20'000};
  std::chrono::milliseconds patience{70'000};                 // more than three heartbeats
  std::function<void(const std::string&)> tell_waiting = {};  // gets the sentence that says why nothing happens
};

class RunOwner {
 public:
  // Owns `run` (made if it is not there) until destruction. Throws Error(kBadInput) naming the live owner, or if the folder
  // cannot be written.
  explicit RunOwner(const std::filesystem::path& run, const OwnerIdentity& identity = OwnerIdentity::of_this_process(),
                    const OwnerOptions& options = {});
  ~RunOwner();
  RunOwner(const RunOwner&) = delete;
  RunOwner& operator=(const RunOwner&) = delete;

  // Throws Error(kBadInput) if another job has taken the folder over meanwhile: to be asked before each save.
  void check_still_owner() const;

 private:
  struct Heart;
  std::filesystem::path record_;
  std::string text_;
  std::unique_ptr<Heart> heart_;
};

// What RunOwner would meet with, without changing anything: throws as it does if the folder cannot be written or a live job owns it; else
// "", or the sentence that says for whom it would wait first.
std::string look_for_owner(const std::filesystem::path& run, const OwnerIdentity& identity = OwnerIdentity::of_this_process(),
                           const OwnerOptions& options = {});

}  // namespace berth::train
