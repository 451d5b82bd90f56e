#include "trainer/run/saving.h"

#include <algorithm>
#include <boost/log/trivial.hpp>

#include "data/check.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/comm/agree.h"
#include "trainer/run/replicas.h"
#include "trainer/use/pretrained.h"

namespace berth::train {
namespace {

namespace fs = std::filesystem;

std::string checkpoint_name(int64_t step) { return concat("checkpoint-", step); }

// Why no model can be loaded from this checkpoint; "": one can. Throws Error(kInternal) if it cannot be read now.
std::string problem_of(const fs::path& folder) {
  try {
    data::retried(data::kReadWaits, [&] { verify_checkpoint(folder); });
    return "";
  } catch (const data::ReadError& error) {
    fail(ExitCode::kInternal, error.what(), ": the final model is to be loaded from there; start again when it can be read");
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace

Saving::Saving(const TrainOptions& options, const RunFolder& folder, TrainSetup& setup, comm::Communicator& comm)
    : options_(options), folder_(folder), setup_(setup), comm_(comm) {}

bool Saving::checkpoint(std::string_view why, What what) {
  const std::string name = checkpoint_name(setup_.state.global_step);
  check_replicas(setup_.model->parameters(), comm_, setup_.state.global_step);
  comm::agree_on_root(comm_, [&] { folder_.check_still_owner(); });
  RunState state = setup_.state;
  if (state.beats_kept()) {
    state.kept = {.step = state.global_step, .metric = *state.metric_now(), .checkpoint = name};
    if (state.best.step == state.global_step) state.not_kept.clear();
  }
  std::string error;
  std::optional<AdamW::State> moments;
  setup_.optimizer->swap_averages();
  if (what == What::kWhole || !options_.eval_save.save_only_model) moments = setup_.optimizer->gathered_state();
  if (comm_.rank() == 0) {
    error = write_checkpoint(state, moments);
    if (error.empty()) {
      BOOST_LOG_TRIVIAL(info) << "saved " << (options_.output_dir / name).string() << (why.empty() ? "" : concat(" (", why, ")"));
      rotate_checkpoints(options_.output_dir, options_.eval_save.save_total_limit,
                         state.kept.step > 0 ? std::optional(state.kept.step) : std::nullopt);
    } else {
      BOOST_LOG_TRIVIAL(warning) << error << "; the earlier ones are untouched, the next save tries again";
    }
  }
  setup_.optimizer->swap_averages();
  comm_.broadcast(error, 0);
  if (error.empty()) {
    setup_.state.kept = state.kept;
    setup_.state.not_kept = state.not_kept;
  } else if (setup_.state.best.step == setup_.state.global_step) {
    setup_.state.not_kept = error;
  }
  last_ = std::chrono::steady_clock::now();
  return error.empty();
}

double Saving::seconds_since_checkpoint() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - last_).count();
}

bool Saving::best_is_wanted() const {
  const EvalSaveOptions& o = options_.eval_save;
  return (o.save_strategy == Strategy::kBest || o.load_best_model_at_end) && setup_.state.beats_kept();
}

// A model that may become the final one.
struct Saving::Candidate {
  int64_t step = 0;
  std::optional<double> metric;  // unset: it was not evaluated
  fs::path folder;               // of its checkpoint; empty: the parameters as they are
};

// Of this run's evaluated models those that may still be there, but for the best one: the better ones first, of equals the earlier.
std::vector<Saving::Candidate> Saving::next_best() const {
  const RunState& now = setup_.state;
  std::vector<Candidate> left;
  if (const auto metric = now.metric_now()) left.push_back({now.global_step, *metric, {}});
  if (const fs::path kept = now.kept.checkpoint; kept.is_absolute()) left.push_back({now.kept.step, now.kept.metric, kept});
  for (const Checkpoint& checkpoint : list_checkpoints(options_.output_dir)) {
    try {
      const fs::path file = checkpoint.folder / kTrainerStateFile;
      const auto metric = RunState::parse(data::read_file(file), file.string()).metric_now();
      if (metric && checkpoint.step < now.global_step) left.push_back({checkpoint.step, *metric, checkpoint.folder});
    } catch (const Error& error) {
      BOOST_LOG_TRIVIAL(warning) << error.what();
    }
  }
  std::erase_if(left, [&](const Candidate& candidate) { return candidate.step == now.best.step; });
  std::stable_sort(left.begin(), left.end(), [&](const Candidate& a, const Candidate& b) {
    return a.metric == b.metric ? a.step < b.step : now.best.is_better(*a.metric, *b.metric);
  });
  return left;
}

// Rank 0: what the final model is.
Saving::Candidate Saving::choose_best() const {
  const RunState& state = setup_.state;
  std::string lost = state.not_kept.empty() ? "no checkpoint was made of it" : state.not_kept;
  if (state.kept.step == state.best.step) {
    const fs::path folder = options_.output_dir / state.kept.checkpoint;
    lost = problem_of(folder);
    if (lost.empty()) {
      BOOST_LOG_TRIVIAL(info) << "the final model is the best one, of step " << state.best.step;
      return {.step = state.best.step, .metric = state.kept.metric, .folder = folder};
    }
  }
  // The last model, unless another one that was evaluated can be loaded.
  Candidate chosen{.step = state.global_step, .metric = {}, .folder = {}};
  for (const Candidate& candidate : next_best()) {
    const std::string problem = candidate.folder.empty() ? "" : problem_of(candidate.folder);
    if (problem.empty()) {
      chosen = candidate;
      break;
    }
    BOOST_LOG_TRIVIAL(warning) << problem;
  }
  BOOST_LOG_TRIVIAL(warning) << "the best model, of step " << state.best.step << " (" << options_.eval_save.best_model().name()
                             << " " << *state.best.metric << "), is lost: " << lost << ". The final model is the "
                             << (chosen.metric ? concat("best that is left, of step ", chosen.step, " (", *chosen.metric, ")")
                                               : concat("last one, of step ", chosen.step));
  return chosen;
}

void Saving::load_best() {
  const RunState& state = setup_.state;
  if (!options_.eval_save.load_best_model_at_end || state.best.step == 0 || state.best.step == state.global_step) return;
  std::string folder;
  comm::agree_on_root(comm_, [&] {
    const Candidate chosen = choose_best();
    folder = chosen.folder.string();
    model_step_ = chosen.step;
  });
  comm_.broadcast(folder, 0);
  if (folder.empty()) return;
  const ModelInstance& model = *setup_.model;
  load_pretrained(folder, model.parameters(), comm_, {.family = model.config().family->class_prefix, .allow_new_head = false});
}

void Saving::write_final_model() const {
  folder_.check_still_owner();
  try {
    write_model(options_.output_dir);
    data::sync_folder(options_.output_dir);
    data::write_durably(options_.output_dir / kTrainerStateFile, state_json(setup_.state));
    data::sync_folder(options_.output_dir);
  } catch (const Error& error) {
    fail(
        ExitCode::kInternal, error.what(),
        "; the final model is not complete: start the same command again when this works, it goes on from the newest checkpoint");
  }
}

std::string Saving::write_checkpoint(const RunState& state, const std::optional<AdamW::State>& moments) const {
  const HostTensors on_host(moments.value_or(AdamW::State()));
  return save_checkpoint(options_.output_dir, {.step = state.global_step,
                                               .write_model = [&](const fs::path& folder) { return write_model(folder); },
                                               .optimizer = moments ? std::optional(on_host.views()) : std::nullopt,
                                               .trainer_state = state_json(state)});
}

std::vector<data::FileDigest> Saving::write_model(const fs::path& folder) const {
  const ModelInstance& model = *setup_.model;
  return save_pretrained(folder, model.config(), model.architecture().name, model.parameters(), [&](const fs::path& to) {
    return setup_.tokenizer->save(to, static_cast<int>(model.config().max_position_embeddings),
                                  model.config().class_name("BertTokenizer"));
  });
}

std::string Saving::state_json(const RunState& state) const { return state.to_json(setup_.plan.epoch_at(state.global_step)); }

}  // namespace berth::train
