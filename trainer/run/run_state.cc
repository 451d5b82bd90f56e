#include "trainer/run/run_state.h"

#include <algorithm>
#include <cmath>

#include "data/check.h"

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
      {"started_from", started_from},
      {"fixed_options", fixed_options},
      {"run_log", run_log},
      {"environment", environment}};
  return data::dump_json(state, 2) + "\n";
}

RunState RunState::parse(const std::string& text, const std::string& origin) {
  RunState s;
  try {
    const Json state = data::parse_json<Json>(text, "", kStateLimits);
    s.global_step = state.at("global_step");
    s.horizon.total_steps = state.at("max_steps");
    if (!state.at("best_metric").is_null()) s.best.metric = state.at("best_metric").get<double>();
    s.best.step = state.at("best_global_step");
    s.log_history = state.at("log_history");
    s.train_batch_size = state.value("train_batch_size", int64_t{0});
    const Json& own = state.at("berth");
    s.samples_seen = own.at("samples_seen");
    s.optimizer_steps = own.at("optimizer_steps");
    s.skipped_in_a_row = own.value("skipped_in_a_row", int64_t{0});
    s.overflowed_steps = own.value("overflowed_steps", int64_t{0});
    if (own.contains("loss_scale") && !own["loss_scale"].is_null())
      s.loss_scale = {.scale = own["loss_scale"].at("scale"), .updates = own["loss_scale"].at("updates")};
    if (own.contains("plateau")) {
      const Json& plateau = own["plateau"];
      if (!plateau.at("best").is_null()) s.plateau.best = plateau["best"].get<double>();
      plateau.at("bad").get_to(s.plateau.bad);
      plateau.at("cooldown").get_to(s.plateau.cooldown);
      plateau.at("reductions").get_to(s.plateau.reductions);
    }
    s.last_eval_step = own.at("last_eval_step");
    s.complete = own.at("complete");
    s.horizon.warmup_steps = own.at("warmup_steps");
    s.horizon.schedule = parse_schedule(own.at("lr_scheduler_type").get<std::string>());
    s.horizon.global_batch = own.at("global_batch");
    s.horizon.num_samples = own.at("num_samples");
    s.horizon.drop_last = own.at("drop_last");
    s.horizon.seed = own.at("seed");
    s.horizon.data_seed = own.at("data_seed");
    s.best.without_improvement = own.at("evaluations_without_improvement");
    if (own.contains("kept_step")) {
      s.best.greater = own.at("greater_is_better");
      if (!own.at("last_metric").is_null()) s.best.last = own.at("last_metric").get<double>();
      s.kept = {.step = own.at("kept_step"), .metric = own.at("kept_metric"), .checkpoint = {}};
      s.not_kept = own.at("not_kept");
      s.started_from = own.at("started_from");
      s.fixed_options = own.at("fixed_options");
      s.horizon.schedule_steps = own.at("schedule_steps");
      const Json& since = own.at("global_batch_since");
      s.horizon.start = {.step = since.at("step"), .epoch = since.at("epoch"), .sample = since.at("sample")};
      s.horizon.schedule_start = since.at("schedule_step");
    } else {  // of a berth that did not tell the best model from the best that was kept
      s.kept = {.step = s.best.step, .metric = s.best.metric.value_or(0), .checkpoint = {}};
      s.horizon.schedule_steps = s.horizon.total_steps;
    }
    if (s.kept.step > 0) s.kept.checkpoint = state.at("best_model_checkpoint");
    s.run_log = own.at("run_log");
    s.environment = own.at("environment");
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
