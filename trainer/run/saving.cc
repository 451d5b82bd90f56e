#include "trainer/run/saving.h"

#include <algorithm>
#include <boost/log/trivial.hpp>
#include <memory>

#include "data/check.h"
#include "data/files/failpoint.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/comm/agree.h"
#include "trainer/run/records.h"
#include "trainer/run/replicas.h"
#include "trainer/use/pretrained.h"

namespace berth::train {
namespace {

namespace fs = std::filesystem;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point began) { return std::chrono::duration<double>(Clock::now() - began).count(); }

// To milliseconds.
std::string rounded(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f", seconds);
  return text;
}

uint64_t bytes_of(const NamedTensors& tensors) {
  uint64_t bytes = 0;
  for (const auto& [name, tensor] : tensors) bytes += tensor.nbytes();
  return bytes;
}

// Of a save that failed.
std::string told(const std::string& error) {
  BOOST_LOG_TRIVIAL(warning) << error << "; the earlier ones are untouched, the next save tries again";
  return error;
}

// What nobody needs any more and cannot be removed now is no reason to end a run.
template <class Action>
void tidy(const Action& remove) {
  try {
    remove();
  } catch (const std::exception& error) {
    BOOST_LOG_TRIVIAL(warning) << "old checkpoints were left where they are: " << as_error(error).what();
  }
}

// The checkpoint that rotation spares.
std::optional<int64_t> spared(const RunState& state) {
  return state.kept.step > 0 ? std::optional(state.kept.step) : std::nullopt;
}

// Checkpoints that nobody needs when there is another whole one, or the run is complete.
std::vector<int64_t> earlier_stops(const RunState& state) {
  std::vector<int64_t> stops = state.stops;
  std::erase_if(stops, [&](int64_t step) { return step == state.kept.step || (step == state.global_step && !state.complete); });
  return stops;
}

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

// With two moments, and what averages are made of.
uint64_t Saving::checkpoint_bytes() const { return bytes_of(weights()) * (options_.optimizer.ema_decay > 0 ? 4 : 3); }

void Saving::look_for_room() const {
  const uint64_t model = bytes_of(weights()), checkpoint = options_.eval_save.save_only_model ? model : checkpoint_bytes();
  const bool saves = options_.eval_save.save_strategy != Strategy::kNo || options_.eval_save.save_seconds > 0;
  // A checkpoint beside the one before, and the final model.
  const std::string problem = no_room(options_.output_dir, saves ? 2 * checkpoint + model : model);
  if (!problem.empty()) BOOST_LOG_TRIVIAL(warning) << "the disk may be too small for what this run saves: " << problem;
}

struct Saving::Content {
  int64_t step = 0;
  std::string why;
  NamedTensors weights;
  bool with_moments = false;  // else the model alone
  NamedTensors moments;
  std::string state;
  std::optional<int64_t> spared;
  std::vector<int64_t> replaced;  // steps of earlier checkpoints
};

void Saving::checkpoint(std::string_view why, What what) {
  settle();
  const auto began = Clock::now();
  check_replicas(setup_.model->parameters(), comm_, setup_.state.global_step);
  comm::agree_on_root(comm_, [&] { folder_.check_still_owner(); });
  const int64_t step = setup_.state.global_step;
  std::erase(setup_.state.stops, step);
  if (what == What::kOfStop && !(step > 0 && setup_.plan.save_due(step, options_.eval_save))) setup_.state.stops.push_back(step);
  RunState state = setup_.state;
  if (state.beats_kept()) {
    state.kept = {.step = state.global_step, .metric = *state.metric_now(), .checkpoint = checkpoint_name(state.global_step)};
    if (state.best.step == state.global_step) state.not_kept.clear();
  }
  pending_ = Pending{.step = state.global_step, .kept = state.kept, .not_kept = state.not_kept};
  std::optional<AdamW::State> moments;
  setup_.optimizer->swap_averages();
  if (what == What::kOfStop || !options_.eval_save.save_only_model) moments = setup_.optimizer->gathered_state();
  stood_still_ = seconds_since(began);
  if (comm_.rank() == 0) begin_to_write(state, why, moments);
  setup_.optimizer->swap_averages();  // which waits for the copy
  stood_still_ = seconds_since(began);
  waited_ = 0;
  last_ = Clock::now();
}

void Saving::begin_to_write(const RunState& state, std::string_view why, const std::optional<AdamW::State>& moments) {
  try {
    weights_copy_.begin(weights());
    if (moments) moments_copy_.begin(*moments);
    Content content{.step = state.global_step,
                    .why = std::string(why),
                    .weights = {},
                    .with_moments = moments.has_value(),
                    .moments = {},
                    .state = state_json(state),
                    .spared = spared(state),
                    .replaced = moments ? earlier_stops(state) : std::vector<int64_t>{}};
    std::promise<void> copied;
    auto is_copied = std::make_shared<std::future<void>>(copied.get_future());
    writing_ = std::async(std::launch::async, &Saving::copy_and_write, this, std::move(content), std::move(copied));
    setup_.optimizer->before_next_change([this, is_copied = std::move(is_copied)] { wait_for(*is_copied); });
  } catch (const std::exception& error) {  // no memory for the copy, or no thread
    std::promise<std::string> failed;
    failed.set_value(told(concat(checkpoint_name(state.global_step), " was not saved: ", as_error(error).what())));
    writing_ = failed.get_future();
  }
}

void Saving::wait_for(const std::future<void>& copied) {
  const auto began = Clock::now();
  copied.wait();
  const double seconds = seconds_since(began);
  stood_still_ = stood_still_ + seconds;
  waited_ += seconds;
}

std::string Saving::copy_and_write(Content content, std::promise<void> copied) {
  data::failpoint("copy");
  content.weights = weights_copy_.finish();
  if (content.with_moments) content.moments = moments_copy_.finish();
  copied.set_value();
  std::string error = write(content);
  content = {};
  weights_copy_.release();
  moments_copy_.release();
  return error;
}

bool Saving::settle() {
  if (!pending_) return true;
  std::string error;
  if (comm_.rank() == 0) error = writing_.get();
  comm_.broadcast(error, 0);
  RunState& state = setup_.state;
  if (error.empty()) {
    state.kept = pending_->kept;
    if (state.best.step == pending_->step) state.not_kept = pending_->not_kept;
  } else if (state.best.step == pending_->step) {
    state.not_kept = error;
  }
  pending_.reset();
  return error.empty();
}

bool Saving::is_writing() const {
  return writing_.valid() && writing_.wait_for(std::chrono::seconds(0)) != std::future_status::ready;
}

double Saving::seconds_since_checkpoint() const { return seconds_since(last_); }

bool Saving::best_is_wanted() {
  const EvalSaveOptions& o = options_.eval_save;
  if (o.save_strategy != Strategy::kBest && !o.load_best_model_at_end) return false;
  settle();
  return setup_.state.beats_kept();
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
  settle();
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
  // Of a job that was killed after its last save.
  tidy([&] { rotate_checkpoints(options_.output_dir, options_.eval_save.save_total_limit, spared(setup_.state)); });
  try {
    write_model(options_.output_dir, weights());
    data::sync_folder(options_.output_dir);
    data::write_durably(options_.output_dir / kTrainerStateFile, state_json(setup_.state));
    data::sync_folder(options_.output_dir);
  } catch (const Error& error) {
    fail(
        ExitCode::kInternal, error.what(),
        "; the final model is not complete: start the same command again when this works, it goes on from the newest checkpoint");
  }
  tidy([&] {
    remove_checkpoints(options_.output_dir, earlier_stops(setup_.state));
    remove_superseded(options_.output_dir, {setup_.state.started_from, setup_.state.kept.checkpoint});
  });
}

std::string Saving::write(const Content& content) const {
  const auto began = Clock::now();
  std::optional<HostTensors> moments;
  if (content.with_moments) moments.emplace(content.moments);
  // Only told: what a file system says is free is not always what may be written (soft quotas).
  const std::string room = no_room(options_.output_dir, bytes_of(content.weights) + bytes_of(content.moments));
  sync_log(options_);
  const std::string error =
      save_checkpoint(options_.output_dir, {.step = content.step,
                                            .write_model = [&](const fs::path& to) { return write_model(to, content.weights); },
                                            .optimizer = moments ? std::optional(moments->views()) : std::nullopt,
                                            .trainer_state = content.state});
  if (!error.empty()) return told(room.empty() ? error : concat(error, "; ", room));
  write_seconds_ = seconds_since(began);
  BOOST_LOG_TRIVIAL(info) << "saved " << (options_.output_dir / checkpoint_name(content.step)).string()
                          << (content.why.empty() ? "" : concat(" (", content.why, ")")) << " in " << rounded(write_seconds_)
                          << " s, for which training stood still for " << rounded(stood_still_) << " s";
  tidy([&] {
    remove_checkpoints(options_.output_dir, content.replaced);
    rotate_checkpoints(options_.output_dir, options_.eval_save.save_total_limit, content.spared);
  });
  return "";
}

NamedTensors Saving::weights() const {
  const ModelInstance& model = *setup_.model;
  return weights_for_file(model.config(), model.architecture().name, model.parameters());
}

std::vector<data::FileDigest> Saving::write_model(const fs::path& folder, const NamedTensors& weights) const {
  const ModelInstance& model = *setup_.model;
  return save_pretrained(folder, model.config(), model.architecture().name, weights, [&](const fs::path& to) {
    return setup_.tokenizer->save(to, static_cast<int>(model.config().max_position_embeddings),
                                  model.config().class_name("BertTokenizer"));
  });
}

std::string Saving::state_json(const RunState& state) const { return state.to_json(setup_.plan.epoch_at(state.global_step)); }

}  // namespace berth::train
