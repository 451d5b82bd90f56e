#include "trainer/run/run_folder.h"

#include <boost/log/trivial.hpp>

#include "data/check.h"
#include "data/files/files.h"
#include "trainer/comm/agree.h"

namespace berth::train {
namespace {

namespace fs = std::filesystem;

bool holds_a_run(const fs::path& folder) { return fs::exists(folder / kTrainerStateFile) || !list_checkpoints(folder).empty(); }

// Rank 0: the checkpoint that the options mean, if any.
std::optional<Checkpoint> choose_checkpoint(const TrainOptions& options) {
  if (options.overwrite_output_dir || options.resume.from == Resume::From::kNothing) return std::nullopt;
  if (options.resume.from == Resume::From::kNewest) {
    const CheckpointSearch search = find_newest_valid(options.output_dir);
    for (const std::string& warning : search.warnings) BOOST_LOG_TRIVIAL(warning) << warning;
    return search.newest;
  }
  const fs::path& folder = options.resume.folder;
  check_usage(fs::is_directory(folder), "--resume-from-checkpoint ", folder.string(),
              ": no such folder; give a checkpoint-<step> folder, auto or none");
  verify_checkpoint(folder);
  const RunState state = RunState::parse(data::read_file(folder / kTrainerStateFile), folder.string());
  supersede_after(options.output_dir, state.global_step);
  return Checkpoint{.folder = folder, .step = state.global_step};
}

}  // namespace

RunFolder::RunFolder(const TrainOptions& options, comm::Communicator& comm) {
  comm::agree_on_root(comm, [&] {
    const fs::path& folder = options.output_dir;
    check(!fs::exists(folder) || fs::is_directory(folder), "--output-dir ", folder.string(), ": there is a file of that name");
    owner_ = std::make_unique<RunOwner>(folder);
    remove_leftovers(folder);
    if (options.overwrite_output_dir) {
      supersede_after(folder, -1);
      fs::remove(folder / kTrainerStateFile);
    } else if (options.resume.from == Resume::From::kNothing) {
      check_usage(!holds_a_run(folder), "--output-dir ", folder.string(),
                  " holds a run already: give another folder, leave --resume-from-checkpoint away to go on with it, or "
                  "--overwrite-output-dir to start over");
    }
  });
}

ResumePoint RunFolder::find_resume_point(const TrainOptions& options, comm::Communicator& comm) const {
  std::string folder, state, finished;
  comm::agree_on_root(comm, [&] {
    const std::optional<Checkpoint> checkpoint = choose_checkpoint(options);
    if (checkpoint) {
      folder = checkpoint->folder.string();
      state = data::read_file(checkpoint->folder / kTrainerStateFile);
    }
    const fs::path final_state = options.output_dir / kTrainerStateFile;
    if (fs::exists(final_state)) finished = data::read_file(final_state);
  });
  comm.broadcast(folder, 0);
  comm.broadcast(state, 0);
  comm.broadcast(finished, 0);
  ResumePoint point{.folder = folder, .state = {}, .finished = {}};
  comm::agree(comm, [&] {
    if (!state.empty()) point.state = RunState::parse(state, (fs::path(folder) / kTrainerStateFile).string());
    if (!finished.empty()) point.finished = RunState::parse(finished, (options.output_dir / kTrainerStateFile).string());
  });
  return point;
}

}  // namespace berth::train
