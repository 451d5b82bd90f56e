#include "trainer/run/run_state.h"

#include "data/check.h"

namespace berth::train {

using Json = nlohmann::ordered_json;

std::string RunState::to_json(double epoch, const std::string& best_checkpoint) const {
  Json state;
  state["global_step"] = global_step;
  state["epoch"] = epoch;
  state["max_steps"] = total_steps;
  state["best_metric"] = best_metric ? Json(*best_metric) : Json(nullptr);
  state["best_global_step"] = best_step;
  state["best_model_checkpoint"] = best_checkpoint.empty() ? Json(nullptr) : Json(best_checkpoint);
  state["is_world_process_zero"] = true;
  state["log_history"] = Json::parse(log_history);
  state["berth"] = {{"samples_seen", samples_seen},
                    {"optimizer_steps", optimizer_steps},
                    {"last_eval_step", last_eval_step},
                    {"complete", complete},
                    {"warmup_steps", warmup_steps},
                    {"lr_scheduler_type", lr_scheduler_type},
                    {"global_batch", global_batch},
                    {"num_samples", num_samples},
                    {"drop_last", drop_last},
                    {"seed", seed},
                    {"data_seed", data_seed},
                    {"evaluations_without_improvement", evaluations_without_improvement},
                    {"run_log", run_log},
                    {"environment", environment}};
  return state.dump(2) + "\n";
}

RunState RunState::parse(const std::string& text, const std::string& origin) {
  RunState s;
  try {
    const Json state = Json::parse(text);
    s.global_step = state.at("global_step");
    s.total_steps = state.at("max_steps");
    if (!state.at("best_metric").is_null()) s.best_metric = state.at("best_metric").get<double>();
    s.best_step = state.at("best_global_step");
    s.log_history = state.at("log_history").dump();
    const Json& own = state.at("berth");
    s.samples_seen = own.at("samples_seen");
    s.optimizer_steps = own.at("optimizer_steps");
    s.last_eval_step = own.at("last_eval_step");
    s.complete = own.at("complete");
    s.warmup_steps = own.at("warmup_steps");
    s.lr_scheduler_type = own.at("lr_scheduler_type");
    s.global_batch = own.at("global_batch");
    s.num_samples = own.at("num_samples");
    s.drop_last = own.at("drop_last");
    s.seed = own.at("seed");
    s.data_seed = own.at("data_seed");
    s.evaluations_without_improvement = own.at("evaluations_without_improvement");
    s.run_log = own.at("run_log");
    s.environment = own.at("environment");
  } catch (const Json::exception& error) {
    fail(ExitCode::kBadInput, origin, ": not a training state that berth can resume: ", error.what());
  }
  check(s.global_step >= 0 && s.global_step <= s.total_steps && s.global_batch > 0 && s.num_samples > 0 && s.samples_seen >= 0,
        origin, ": impossible numbers (step ", s.global_step, " of ", s.total_steps, ", global batch ", s.global_batch, ", ",
        s.num_samples, " samples)");
  return s;
}

void RunState::begin(const RunPlan& plan, const TrainOptions& options) {
  total_steps = plan.total_steps;
  warmup_steps = plan.warmup_steps;
  lr_scheduler_type = schedule_name(options.lr_scheduler_type);
  global_batch = plan.global_batch;
  num_samples = plan.num_samples;
  drop_last = plan.sampler.drop_last;
  seed = options.seed;
  data_seed = plan.sampler.seed;
}

void RunState::check_resumable(const RunPlan& plan, const TrainOptions& options) const {
  const auto same = [](const char* what, auto now, auto stored, const char* advice) {
    check_usage(now == stored, "the checkpoint was made with ", what, " ", stored, ", this run has ", now, ": ", advice);
  };
  const char* order =
      "resuming would repeat or skip samples; use the same data set and options, or start afresh in another --output-dir";
  same("a training split of", plan.num_samples, num_samples, order);
  same("--seed", options.seed, seed, order);
  same("--data-seed", plan.sampler.seed, data_seed, order);
  same("--dataloader-drop-last", plan.sampler.drop_last, drop_last, order);
  same("a global batch of", plan.global_batch, global_batch, order);
  if (options.allow_horizon_change) return;
  const char* horizon = "the learning rate would jump; give the same options, or --allow-horizon-change if that is what you want";
  same("a horizon of steps", plan.total_steps, total_steps, horizon);
  same("warm-up steps", plan.warmup_steps, warmup_steps, horizon);
  same("--lr-scheduler-type", std::string(schedule_name(options.lr_scheduler_type)), lr_scheduler_type, horizon);
}

}  // namespace berth::train
