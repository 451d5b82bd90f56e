#include "trainer/run/run_folder.h"

#include <boost/log/trivial.hpp>

#include "data/check.h"
#include "data/files/files.h"
#include "trainer/comm/agree.h"

namespace berth::train {
namespace {

namespace fs = std::filesystem;

bool holds_a_run(const fs::path& folder) { return fs::exists(folder / kTrainerStateFile) || !list_checkpoints(folder).empty(); }

// `path` as a state in `run` remembers it: by name if it lies there, so that a run folder can be moved.
std::string seen_from(const fs::path& run, const fs::path& path) {
  const fs::path folder = fs::weakly_canonical(path), base = fs::weakly_canonical(run);
  return folder.parent_path() == base ? folder.filename().string() : folder.string();
}

// A run begins anew: what is there is another run's, but for berth.log, which tells of all jobs.
void supersede_run(const fs::path& run) {
  supersede_after(run, -1);
  for (const char* record :
       {"metrics.jsonl", "tensorboard", "train_results.json", "eval_results.json", "test_results.json", "eval_analysis.json",
        "test_analysis.json", "all_results.json", "training_results.md", "report.html", "provenance.json", "trace.json"})
    supersede(run / record);
  fs::remove(run / kTrainerStateFile);
}

// Where to go on from.
struct Choice {
  fs::path folder;
  RunState state;
};

Choice choose(const fs::path& run, const fs::path& checkpoint) {
  const fs::path file = checkpoint / kTrainerStateFile;
  Choice choice{checkpoint, RunState::parse(data::read_file(file), file.string())};
  std::string& kept = choice.state.kept.checkpoint;
  if (!kept.empty()) kept = seen_from(run, checkpoint.parent_path() / kept);
  return choice;
}

// Of a run that was finished in this folder.
std::optional<RunState> final_state(const fs::path& run) {
  const fs::path file = run / kTrainerStateFile;
  return fs::exists(file) ? std::optional(RunState::parse(data::read_file(file), file.string())) : std::nullopt;
}

std::optional<Choice> newest_in(const fs::path& run, RunFolder::Use use) {
  const bool takes = use == RunFolder::Use::kTake;
  const CheckpointSearch search = find_newest_valid(run, data::kReadWaits, takes ? Damaged::kSetAside : Damaged::kLeave);
  for (const std::string& warning : search.warnings) BOOST_LOG_TRIVIAL(warning) << warning;
  if (!search.models.empty()) {
    const std::string from = search.newest ? search.newest->folder.filename().string() : "the start";
    BOOST_LOG_TRIVIAL(warning) << search.models.front().folder.string()
                               << " holds the model alone (--save-only-model), which no run can go on from: going on from "
                               << from << "; checkpoints of later steps are set aside as *.superseded";
    if (takes) supersede_after(run, search.newest ? search.newest->step : -1);
  }
  return search.newest ? std::optional(choose(run, search.newest->folder)) : std::nullopt;
}

// The checkpoint that --resume-from-checkpoint names, or the newest of the branch that began from it.
Choice named(const fs::path& run, const fs::path& folder, RunFolder::Use use) {
  const std::string from = seen_from(run, folder);
  if (auto newest = newest_in(run, use); newest && newest->state.started_from == from) {
    BOOST_LOG_TRIVIAL(info) << "this run began from " << folder.string() << " and goes on from its own newest checkpoint";
    return *std::move(newest);
  }
  check_usage(fs::is_directory(folder), "--resume-from-checkpoint ", folder.string(),
              ": no such folder; give a checkpoint-<step> folder, auto or none");
  data::retried(data::kReadWaits, [&] { verify_checkpoint(folder); });
  check_usage(
      !holds_model_alone(folder), "--resume-from-checkpoint ", folder.string(),
      ": holds the model alone (--save-only-model), which no run can go on from; give it as --model to begin with its weights");
  Choice choice = choose(run, folder);
  choice.state.started_from = from;
  const auto finished = final_state(run);
  if (use == RunFolder::Use::kTake && (!finished || finished->started_from != from)) {
    supersede_after(run, choice.state.global_step);
    fs::remove(run / kTrainerStateFile);
  }
  return choice;
}

// Rank 0: what the options mean, if anything.
std::optional<Choice> choose(const TrainOptions& options, RunFolder::Use use) {
  if (options.overwrite_output_dir || options.resume.from == Resume::From::kNothing) return std::nullopt;
  if (options.resume.from == Resume::From::kNewest) return newest_in(options.output_dir, use);
  return named(options.output_dir, options.resume.folder, use);
}

}  // namespace

RunFolder::RunFolder(const TrainOptions& options, comm::Communicator& comm, Use use) : use_(use) {
  comm::agree_on_root(comm, [&] {
    const fs::path& folder = options.output_dir;
    check(!fs::exists(folder) || fs::is_directory(folder), "--output-dir ", folder.string(), ": there is a file of that name");
    if (use == Use::kTake) {
      OwnerOptions owner_options;
      owner_options.tell_waiting = [](const std::string& why) { BOOST_LOG_TRIVIAL(info) << why; };
      owner_ = std::make_unique<RunOwner>(folder, OwnerIdentity::of_this_process(), owner_options);
      remove_leftovers(folder);
    } else {
      waits_for_ = look_for_owner(folder);
    }
    if (options.overwrite_output_dir) {
      if (use == Use::kTake) supersede_run(folder);
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
    if (const std::optional<Choice> choice = choose(options, use_)) {
      folder = choice->folder.string();
      state = choice->state.to_json(/*epoch=*/0);
    }
    const bool anew = use_ == Use::kLook && options.overwrite_output_dir;  // else no final state is left
    if (const auto final = anew ? std::nullopt : final_state(options.output_dir)) finished = final->to_json(/*epoch=*/0);
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
