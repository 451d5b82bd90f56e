// What a run writes that outlives it: checkpoints, and the final model. Rank 0 writes, all ranks know how it went.
#pragma once

#include <chrono>
#include <string_view>

#include "trainer/run/run_folder.h"
#include "trainer/run/train_setup.h"

namespace berth::train {

class Saving {
 public:
  // All must outlive it; `setup` is the run's, whose state is what is saved.
  Saving(const TrainOptions& options, const RunFolder& folder, const TrainSetup& setup, comm::Communicator& comm);

  // Writes checkpoint-<step> and rotates older ones out. False, with a warning, if it could not be written: training goes on, the
  // next save tries again. `why` is for the log; may be empty. A collective call; throws AgreedError(kDiverged) if replicas
  // differ.
  bool checkpoint(std::string_view why = "");
  double seconds_since_checkpoint() const;

  // The parameters become the best checkpoint's, if --load-best-model-at-end asks for it and they are not. A collective call.
  void load_best();
  // Rank 0: the model at the run folder's root, and the training state, which says that the run is complete. Throws
  // Error(kInternal).
  void write_final_model() const;

 private:
  std::string write_checkpoint() const;  // "" or why it failed
  std::vector<data::FileDigest> write_model(const std::filesystem::path& folder) const;
  std::string state_json() const;

  const TrainOptions& options_;
  const RunFolder& folder_;
  const TrainSetup& setup_;
  comm::Communicator& comm_;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

}  // namespace berth::train
