// A run's output folder: made, owned, and searched for where to go on from. Rank 0 alone touches it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/run_owner.h"
#include "trainer/comm/communicator.h"
#include "trainer/run/run_state.h"
#include "trainer/run/train_options.h"

namespace berth::train {

// Where a run goes on from; on all ranks.
struct ResumePoint {
  std::filesystem::path folder;      // the checkpoint; empty: start afresh
  std::optional<RunState> state;     // its training state; paths in it as they are to be seen from this output folder
  std::optional<RunState> finished;  // of a run that is already complete in this output folder
};

class RunFolder {
 public:
  // kLook: nothing is made, taken, renamed or removed; what would be an error is one.
  enum class Use { kTake, kLook };
  // A collective call. Makes the folder and takes it (run_owner.h), or throws AgreedError: it cannot be written, a live job owns
  // it, or it holds a run and --resume-from-checkpoint none did not say --overwrite-output-dir. With overwrite_output_dir,
  // checkpoints and records that are there are renamed to *.superseded.
  RunFolder(const TrainOptions& options, comm::Communicator& comm, Use use = Use::kTake);

  // A collective call. Damaged checkpoints are set aside with a warning. A checkpoint that is named is where a branch of the run
  // begins: once the branch has checkpoints of its own it goes on from the newest of them, so that a requeued job does not begin
  // again and again. Throws AgreedError if the one that was named cannot be used.
  ResumePoint find_resume_point(const TrainOptions& options, comm::Communicator& comm) const;

  // Rank 0, of a folder that was taken; throws Error(kBadInput) if another job has taken it meanwhile.
  void check_still_owner() const { owner_->check_still_owner(); }
  // Rank 0, of a folder that was looked at: for whom a run would wait first; "": for nobody.
  const std::string& waits_for() const { return waits_for_; }

 private:
  Use use_;
  std::string waits_for_;
  std::unique_ptr<RunOwner> owner_;  // rank 0
};

}  // namespace berth::train
