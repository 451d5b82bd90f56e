#include "trainer/run/saving.h"

#include <boost/log/trivial.hpp>

#include "data/check.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/run/replicas.h"
#include "trainer/use/pretrained.h"

namespace berth::train {
namespace {

std::string checkpoint_name(int64_t step) { return concat("checkpoint-", step); }

}  // namespace

Saving::Saving(const TrainOptions& options, const RunFolder& folder, const TrainSetup& setup, comm::Communicator& comm)
    : options_(options), folder_(folder), setup_(setup), comm_(comm) {}

bool Saving::checkpoint(std::string_view why) {
  const RunState& state = setup_.state;
  check_replicas(setup_.model->parameters(), comm_, state.global_step);
  std::string error;
  if (comm_.rank() == 0) {
    error = write_checkpoint();
    const std::string name = checkpoint_name(state.global_step);
    if (error.empty()) {
      BOOST_LOG_TRIVIAL(info) << "saved " << (options_.output_dir / name).string() << (why.empty() ? "" : concat(" (", why, ")"));
      rotate_checkpoints(options_.output_dir, options_.eval_save.save_total_limit,
                         state.best.step > 0 ? std::optional(state.best.step) : std::nullopt);
    } else {
      BOOST_LOG_TRIVIAL(warning) << name << " was not written: " << error
                                 << ". Older checkpoints are untouched; training goes on, the next save tries again";
    }
  }
  comm_.broadcast(error, 0);
  last_ = std::chrono::steady_clock::now();
  return error.empty();
}

double Saving::seconds_since_checkpoint() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - last_).count();
}

void Saving::load_best() {
  const RunState& state = setup_.state;
  if (!options_.eval_save.load_best_model_at_end || state.best.step == 0 || state.best.step == state.global_step) return;
  load_pretrained(options_.output_dir / checkpoint_name(state.best.step), setup_.model->parameters(), comm_,
                  {.allow_new_head = false});
  if (comm_.rank() == 0) BOOST_LOG_TRIVIAL(info) << "the final model is the best one, of step " << state.best.step;
}

void Saving::write_final_model() const {
  write_model(options_.output_dir);
  data::write_durably(options_.output_dir / kTrainerStateFile, state_json());
}

std::string Saving::write_checkpoint() const {
  folder_.check_still_owner();
  const HostTensors moments(setup_.optimizer->state());
  return save_checkpoint(options_.output_dir,
                         {.step = setup_.state.global_step,
                          .write_model = [&](const std::filesystem::path& folder) { return write_model(folder); },
                          .optimizer = moments.views(),
                          .trainer_state = state_json()});
}

std::vector<data::FileDigest> Saving::write_model(const std::filesystem::path& folder) const {
  const ModelInstance& model = *setup_.model;
  return save_pretrained(folder, model.config(), model.architecture().name, model.parameters(),
                         [&](const std::filesystem::path& to) {
                           return setup_.tokenizer->save(to, static_cast<int>(model.config().max_position_embeddings));
                         });
}

std::string Saving::state_json() const {
  const RunState& state = setup_.state;
  return state.to_json(setup_.plan.epoch_at(state.global_step), state.best.step > 0 ? checkpoint_name(state.best.step) : "");
}

}  // namespace berth::train
