// What a run writes that outlives it: checkpoints, and the final model. Rank 0 writes, all ranks know how it went. Where another
// job has taken the run folder, nothing is written: AgreedError(kBadInput).
#pragma once

#include <atomic>
#include <chrono>
#include <future>
#include <optional>
#include <string_view>
#include <utility>

#include "trainer/run/host_copy.h"
#include "trainer/run/run_folder.h"
#include "trainer/run/train_setup.h"

namespace berth::train {

class Saving {
 public:
  // All must outlive it; `setup` is the run's, whose state is what is saved.
  Saving(const TrainOptions& options, const RunFolder& folder, TrainSetup& setup, comm::Communicator& comm);

  // kAsAsked: without the optimizer's state if --save-only-model says so. kOfStop: whole, so that the run can go on from it; the
  // next whole one, or the end of the run, removes it if its step has no other reason to be kept.
  enum class What { kAsAsked, kOfStop };
  // Rank 0: warns if the disk has no room for what the run will save at most at one time.
  void look_for_room() const;
  // Begins checkpoint-<step>, whose model is the average where averages are kept: a thread takes a copy, for which only the next update
  // waits, writes it, and then rotates older ones out, while training goes on. From a GPU the copy is taken here. At most one is under way. `why` is for the log; may be empty. A collective
  // call; throws AgreedError(kDiverged) if replicas differ.
  void checkpoint(std::string_view why = "", What what = What::kAsAsked);
  // Waits for it. False, after a warning, if it could not be written: the next save tries again. Only a checkpoint that was written
  // becomes the state's best kept model. A collective call.
  bool settle();
  // Seconds since the last call for which an update has waited for a copy.
  double take_waited() { return std::exchange(waited_, 0); }
  double seconds_since_checkpoint() const;
  // Rank 0: what a checkpoint takes of the disk, and how long the last one took from its begin to the disk (0: there was none).
  uint64_t checkpoint_bytes() const;
  double seconds_of_last_write() const { return write_seconds_; }
  bool is_writing() const;  // rank 0
  // Whether --save-strategy best or --load-best-model-at-end asks for a checkpoint now: it would be the best one there is. A collective
  // call.
  bool best_is_wanted();

  // The parameters become the best model's, if --load-best-model-at-end asks for it and they are not. If its checkpoint was never
  // written, is gone or damaged: those of the best that is left, with a warning that says what was lost and why. A collective
  // call.
  void load_best();
  // Rank 0: after which step the parameters were what they are.
  int64_t model_step() const { return model_step_.value_or(setup_.state.global_step); }
  // Rank 0: the model at the run folder's root, its parameters as they are, and after it the training state, which says that the run is complete. Throws
  // Error(kInternal).
  void write_final_model() const;

 private:
  struct Candidate;

  // All that a checkpoint is made of, apart from what training changes.
  struct Content;
  void begin_to_write(const RunState& state, std::string_view why, const std::optional<AdamW::State>& moments);
  void wait_for(const std::future<void>& copied);
  // On the thread.
  std::string copy_and_write(Content content, std::promise<void> copied);
  std::string write(const Content& content) const;  // "" or why it failed
  std::vector<data::FileDigest> write_model(const std::filesystem::path& folder, const NamedTensors& weights) const;
  NamedTensors weights() const;
  std::string state_json(const RunState& state) const;
  std::vector<Candidate> next_best() const;
  Candidate choose_best() const;

  const TrainOptions& options_;
  const RunFolder& folder_;
  TrainSetup& setup_;
  comm::Communicator& comm_;
  std::optional<int64_t> model_step_;  // rank 0: of the checkpoint that load_best() took
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();

  // Of the checkpoint that is under way.
  struct Pending {
    int64_t step = 0;
    KeptModel kept;
    std::string not_kept;
  };
  std::optional<Pending> pending_;
  HostCopy weights_copy_, moments_copy_;  // rank 0, as all below
  std::atomic<double> stood_still_ = 0;   // seconds, of training, for the checkpoint under way
  double waited_ = 0;                     // of them those in updates, since take_waited()
  mutable std::atomic<double> write_seconds_ = 0;
  std::future<std::string> writing_;  // the last member: it is waited for before the others go
};

}  // namespace berth::train
