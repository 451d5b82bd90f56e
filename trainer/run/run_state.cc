#include "trainer/run/run_state.h"

#include "data/check.h"

namespace berth::train {

using Json = nlohmann::ordered_json;

std::string RunState::to_json(double epoch, const std::string& best_checkpoint) const {
  Json state;
  state["global_step"] = global_step;
  state["epoch"] = epoch;
  state["max_steps"] = horizon.total_steps;
  state["best_metric"] = best.metric ? Json(*best.metric) : Json(nullptr);
  state["best_global_step"] = best.step;
  state["best_model_checkpoint"] = best_checkpoint.empty() ? Json(nullptr) : Json(best_checkpoint);
  state["is_world_process_zero"] = true;
  state["log_history"] = log_history;
  state["berth"] = {{"samples_seen", samples_seen},
                    {"optimizer_steps", optimizer_steps},
                    {"last_eval_step", last_eval_step},
                    {"complete", complete},
                    {"warmup_steps", horizon.warmup_steps},
                    {"lr_scheduler_type", schedule_name(horizon.schedule)},
                    {"global_batch", horizon.global_batch},
                    {"num_samples", horizon.num_samples},
                    {"drop_last", horizon.drop_last},
                    {"seed", horizon.seed},
                    {"data_seed", horizon.data_seed},
                    {"evaluations_without_improvement", best.without_improvement},
                    {"run_log", run_log},
                    {"environment", environment}};
  return state.dump(2) + "\n";
}

RunState RunState::parse(const std::string& text, const std::string& origin) {
  RunState s;
  try {
    const Json state = Json::parse(text);
    s.global_step = state.at("global_step");
    s.horizon.total_steps = state.at("max_steps");
    if (!state.at("best_metric").is_null()) s.best.metric = state.at("best_metric").get<double>();
    s.best.step = state.at("best_global_step");
    s.log_history = state.at("log_history");
    const Json& own = state.at("berth");
    s.samples_seen = own.at("samples_seen");
    s.optimizer_steps = own.at("optimizer_steps");
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
    s.run_log = own.at("run_log");
    s.environment = own.at("environment");
    if (s.run_log.is_string()) s.run_log = Json::parse(s.run_log.get<std::string>());  // as the first builds wrote it
  } catch (const Error& error) {
    fail(ExitCode::kBadInput, origin, ": not a training state that berth can resume: ", error.what());
  } catch (const Json::exception& error) {
    fail(ExitCode::kBadInput, origin, ": not a training state that berth can resume: ", error.what());
  }
  check(s.global_step >= 0 && s.global_step <= s.horizon.total_steps && s.horizon.global_batch > 0 && s.horizon.num_samples > 0 &&
            s.samples_seen >= 0,
        origin, ": impossible numbers (step ", s.global_step, " of ", s.horizon.total_steps, ", global batch ",
        s.horizon.global_batch, ", ", s.horizon.num_samples, " samples)");
  return s;
}

}  // namespace berth::train
