#include "trainer/run/run_state.h"

#include <algorithm>
#include <cmath>

#include "data/check.h"
#include "data/json/members.h"

namespace berth::train {

using Json = nlohmann::ordered_json;

std::optional<double> RunState::metric_now() const { return last_eval_step == global_step ? best.last : std::nullopt; }

bool RunState::beats_kept() const {
  const auto metric = metric_now();
  return metric && (kept.step == 0 || best.is_better(*metric, kept.metric));
}

std::string RunState::to_json(double epoch) const {
  Json state;
  state["global_step"] = global_step;
  state["epoch"] = epoch;
  state["max_steps"] = horizon.total_steps;
  state["best_metric"] = best.metric ? Json(*best.metric) : Json(nullptr);
  state["best_global_step"] = best.step;
  state["best_model_checkpoint"] = kept.step > 0 ? Json(kept.checkpoint) : Json(nullptr);
  state["is_world_process_zero"] = true;
  state["train_batch_size"] = train_batch_size;
  state["log_history"] = log_history;
  state["berth"] = {
      {"samples_seen", samples_seen},
      {"optimizer_steps", optimizer_steps},
      {"skipped_in_a_row", skipped_in_a_row},
      {"overflowed_steps", overflowed_steps},
      {"loss_scale", loss_scale ? Json{{"scale", loss_scale->scale}, {"updates", loss_scale->updates}} : Json(nullptr)},
      {"plateau",
       {{"best", plateau.best ? Json(*plateau.best) : Json(nullptr)},
        {"bad", plateau.bad},
        {"cooldown", plateau.cooldown},
        {"reductions", plateau.reductions}}},
      {"last_eval_step", last_eval_step},
      {"complete", complete},
      {"warmup_steps", horizon.warmup_steps},
      {"lr_scheduler_type", schedule_name(horizon.schedule)},
      {"schedule_steps", horizon.schedule_steps},
      {"global_batch", horizon.global_batch},
      {"global_batch_since",
       {{"step", horizon.start.step},
        {"epoch", horizon.start.epoch},
        {"sample", horizon.start.sample},
        {"schedule_step", horizon.schedule_start}}},
      {"num_samples", horizon.num_samples},
      {"drop_last", horizon.drop_last},
      {"seed", horizon.seed},
      {"data_seed", horizon.data_seed},
      {"evaluations_without_improvement", best.without_improvement},
      {"last_metric", best.last ? Json(*best.last) : Json(nullptr)},
      {"greater_is_better", best.greater},
      {"kept_step", kept.step},
      {"kept_metric", kept.metric},
      {"not_kept", not_kept},
      {"stops", stops},
      {"started_from", started_from},
      {"fixed_options", fixed_options},
      {"run_log", run_log},
      {"environment", environment}};
  return data::dump_json(state, 2) + "\n";
}

namespace {

// Of an earlier berth, which did not write it.
void read_if_there(const Json& object, const char* key, int64_t& value) {
  if (object.contains(key)) data::read_member(object, key, value);
}

}  // namespace

RunState RunState::parse(const std::string& text, const std::string& origin) {
  using data::read_member;
  RunState s;
  try {
    const Json state = data::parse_json<Json>(text, "", kStateLimits);
    read_member(state, "global_step", s.global_step);
    read_member(state, "max_steps", s.horizon.total_steps);
    if (!state.at("best_metric").is_null()) s.best.metric = state.at("best_metric").get<double>();
    read_member(state, "best_global_step", s.best.step);
    s.log_history = state.at("log_history");
    read_if_there(state, "train_batch_size", s.train_batch_size);
    const Json& own = state.at("berth");
    read_member(own, "samples_seen", s.samples_seen);
    read_member(own, "optimizer_steps", s.optimizer_steps);
    read_if_there(own, "skipped_in_a_row", s.skipped_in_a_row);
    read_if_there(own, "overflowed_steps", s.overflowed_steps);
    if (own.contains("loss_scale") && !own["loss_scale"].is_null()) {
      read_member(own["loss_scale"], "scale", s.loss_scale.emplace().scale);
      read_member(own["loss_scale"], "updates", s.loss_scale->updates);
    }
    if (own.contains("plateau")) {
      const Json& plateau = own["plateau"];
      if (!plateau.at("best").is_null()) s.plateau.best = plateau["best"].get<double>();
      read_member(plateau, "bad", s.plateau.bad);
      read_member(plateau, "cooldown", s.plateau.cooldown);
      read_member(plateau, "reductions", s.plateau.reductions);
    }
    read_member(own, "last_eval_step", s.last_eval_step);
    read_member(own, "complete", s.complete);
    read_member(own, "warmup_steps", s.horizon.warmup_steps);
    s.horizon.schedule = parse_schedule(own.at("lr_scheduler_type").get<std::string>());
    read_member(own, "global_batch", s.horizon.global_batch);
    read_member(own, "num_samples", s.horizon.num_samples);
    read_member(own, "drop_last", s.horizon.drop_last);
    read_member(own, "seed", s.horizon.seed);
    read_member(own, "data_seed", s.horizon.data_seed);
    read_member(own, "evaluations_without_improvement", s.best.without_improvement);
    if (own.contains("kept_step")) {
      read_member(own, "greater_is_better", s.best.greater);
      if (!own.at("last_metric").is_null()) s.best.last = own.at("last_metric").get<double>();
      read_member(own, "kept_step", s.kept.step);
      read_member(own, "kept_metric", s.kept.metric);
      read_member(own, "not_kept", s.not_kept);
      read_member(own, "started_from", s.started_from);
      s.fixed_options = own.at("fixed_options");
      read_member(own, "schedule_steps", s.horizon.schedule_steps);
      const Json& since = own.at("global_batch_since");
      read_member(since, "step", s.horizon.start.step);
      read_member(since, "epoch", s.horizon.start.epoch);
      read_member(since, "sample", s.horizon.start.sample);
      read_member(since, "schedule_step", s.horizon.schedule_start);
    } else {  // of a berth that did not tell the best model from the best that was kept
      s.kept = {.step = s.best.step, .metric = s.best.metric.value_or(0), .checkpoint = {}};
      s.horizon.schedule_steps = s.horizon.total_steps;
    }
    if (s.kept.step > 0) s.kept.checkpoint = state.at("best_model_checkpoint");
    if (own.contains("stops")) s.stops = own.at("stops").get<std::vector<int64_t>>();
    s.run_log = own.at("run_log");
    s.environment = own.at("environment");
    int64_t ranks = 1;
    if (s.environment.is_object()) read_if_there(s.environment, "ranks", ranks);
  } catch (const Error& error) {
    fail(ExitCode::kBadInput, origin, ": not a training state that berth can resume: ", error.what());
  } catch (const Json::exception& error) {
    fail(ExitCode::kBadInput, origin, ": not a training state that berth can resume: ", error.what());
  }
  const auto is_record = [](const Json& record) {
    return record.is_object() && record.value("step", Json()).is_number_integer();
  };
  check(s.log_history.is_array() && std::all_of(s.log_history.begin(), s.log_history.end(), is_record), origin,
        ": its log_history is not a list of records with a step");
  for (const Json* part : {&s.fixed_options, &s.run_log, &s.environment})
    check(part->is_null() || part->is_object(), origin, ": a part of \"berth\" is a JSON ", part->type_name(), ", not an object");
  check(!s.loss_scale || (std::isfinite(s.loss_scale->scale) && s.loss_scale->scale >= 1 && s.loss_scale->updates >= 0), origin,
        ": impossible numbers (loss_scale)");
  check(s.plateau.bad >= 0 && s.plateau.cooldown >= 0 && s.plateau.reductions >= 0 && s.plateau.reductions <= s.global_step,
        origin, ": impossible numbers (plateau)");
  const data::SamplePosition& start = s.horizon.start;
  check(start.step >= 0 && start.step <= s.global_step && start.epoch >= 0 && start.sample >= 0 &&
            start.sample < s.horizon.num_samples,
        origin, ": impossible numbers (the global batch was changed at step ", start.step, ", sample ", start.sample, ")");
  check(s.global_step >= 0 && s.global_step <= s.horizon.total_steps && s.horizon.global_batch > 0 && s.horizon.num_samples > 0 &&
            s.samples_seen >= 0,
        origin, ": impossible numbers (step ", s.global_step, " of ", s.horizon.total_steps, ", global batch ",
        s.horizon.global_batch, ", ", s.horizon.num_samples, " samples)");
  return s;
}

}  // namespace berth::train
