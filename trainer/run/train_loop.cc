#include "trainer/run/train_loop.h"

#include <algorithm>
#include <boost/log/trivial.hpp>
#include <chrono>
#include <cmath>

#include "data/check.h"
#include "data/counted.h"
#include "data/pipeline/prefetcher.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/failpoint.h"
#include "trainer/checkpoint/provenance.h"
#include "trainer/comm/agree.h"
#include "trainer/report/closing_table.h"
#include "trainer/report/metrics_file.h"
#include "trainer/report/results.h"
#include "trainer/report/run_log.h"
#include "trainer/report/tensorboard.h"
#include "trainer/run/environment.h"
#include "trainer/run/replicas.h"
#include "trainer/run/train_setup.h"
#include "trainer/run/train_step.h"
#include "trainer/use/evaluate.h"
#include "trainer/use/pretrained.h"

namespace berth::train {
namespace {

using Clock = std::chrono::steady_clock;

// On the CPU micro-batches are cut to about so many tokens: larger ones need more memory and are no faster
// (tests/bench/README.md).
constexpr int64_t kCpuMicroBatchTokens = 1024;

constexpr int kStepsAhead = 4;  // that are read and collated while one is computed

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

class TrainLoop {
 public:
  TrainLoop(const TrainOptions& options, const RunFolder& folder, comm::Communicator& comm, TrainHooks hooks)
      : options_(options), folder_(folder), comm_(comm), hooks_(std::move(hooks)), setup_(set_up(options, folder, comm)) {}

  TrainOutcome run();

 private:
  // Each returns false if a stop was agreed on.
  bool train_to_the_end();
  bool after_step();
  bool evaluate_now();

  data::BatchTransform batch_transform() const;
  void open_log();
  void record_provenance();
  void take_step(TrainStep& train_step, std::span<const data::Batch> batches);
  void not_finite(const TrainStep& train_step);
  void judge(const EvalResult& result);
  bool save(const char* why);
  std::string write_checkpoint();
  std::vector<FileDigest> write_model(const std::filesystem::path& folder) const;
  std::string state_json() const;
  std::optional<int64_t> best_step() const {
    return setup_.state.best_step > 0 ? std::optional(setup_.state.best_step) : std::nullopt;
  }
  void finish();
  void load_best();
  bool is_best_step() const { return setup_.state.best_step == setup_.state.global_step; }

  const TrainOptions& options_;
  const RunFolder& folder_;
  comm::Communicator& comm_;
  TrainHooks hooks_;
  TrainSetup setup_;
  std::unique_ptr<RunLog> log_;  // rank 0
  Clock::time_point last_save_ = Clock::now(), last_step_ = Clock::now();
  bool save_asked_ = false;
  bool early_stop_ = false;
};

void TrainLoop::open_log() {
  if (comm_.rank() != 0) return;
  const RunState& state = setup_.state;
  std::vector<std::unique_ptr<Sink>> sinks = std::move(hooks_.sinks);
  const std::string& to = options_.logging.report_to;
  const bool all = to == "all" || to == "both";
  if (all || to.find("jsonl") != std::string::npos)
    sinks.push_back(std::make_unique<MetricsFile>(options_.output_dir / "metrics.jsonl", state.global_step, state.log_history));
  if (all || to.find("tensorboard") != std::string::npos)
    sinks.push_back(std::make_unique<TensorBoard>(
        options_.logging.logging_dir.empty() ? options_.output_dir / "tensorboard" : options_.logging.logging_dir,
        state.global_step));
  sinks.push_back(std::make_unique<ResultsSink>(options_.output_dir));
  log_ = std::make_unique<RunLog>(std::move(sinks), state.run_log, state.log_history);
}

void TrainLoop::record_provenance() {
  const OwnerIdentity self = OwnerIdentity::of_this_process();
  std::vector<std::string> hosts = comm_.gather(self.host, 0);
  comm::agree_on_root(comm_, [&] {
    std::sort(hosts.begin(), hosts.end());
    hosts.erase(std::unique(hosts.begin(), hosts.end()), hosts.end());
    write_provenance(options_.output_dir, {.berth_version = hooks_.version,
                                           .options = hooks_.options,
                                           .data_sha256 = setup_.dataset->info().source_sha256,
                                           .model_sha256 = setup_.model_sha256,
                                           .job = {.slurm_job_id = self.slurm_job_id,
                                                   .hosts = hosts,
                                                   .ranks = comm_.size(),
                                                   .started = self.started,
                                                   .from_step = setup_.state.global_step}});
  });
}

TrainOutcome TrainLoop::run() {
  RunState& state = setup_.state;
  if (state.complete) {
    if (comm_.rank() == 0)
      BOOST_LOG_TRIVIAL(info) << "the run in " << options_.output_dir.string() << " is complete ("
                              << counted(state.global_step, "step") << "): nothing to do; --overwrite-output-dir starts afresh";
    return TrainOutcome::kDone;
  }
  state.environment = describe_environment(comm_, state.environment);
  comm::agree_on_root(comm_, [&] { open_log(); });
  record_provenance();
  if (comm_.rank() == 0 && hooks_.started) hooks_.started(state.global_step, state.total_steps);
  if (!train_to_the_end()) {
    if (!save("stopped early"))
      fail(ExitCode::kInternal, "stopped on request at step ", state.global_step, ", but its checkpoint could not be written");
    return TrainOutcome::kStoppedEarly;
  }
  finish();
  return TrainOutcome::kDone;
}

bool TrainLoop::train_to_the_end() {
  RunState& state = setup_.state;
  const RunPlan& plan = setup_.plan;
  // A run that was stopped while it evaluated, evaluates first.
  if (state.global_step > 0 && plan.eval_due(state.global_step, options_.eval_save) &&
      state.last_eval_step != state.global_step && !evaluate_now())
    return false;

  GradReducer reducer(setup_.model->parameters(), comm_);
  TrainStep train_step(*setup_.model, *setup_.optimizer, reducer, comm_,
                       {.seed = options_.seed,
                        .label_smoothing = options_.model_options.label_smoothing_factor,
                        .bf16 = options_.model_options.bf16,
                        .gradient_checkpointing = options_.model_options.gradient_checkpointing});
  const data::Sampler sampler(plan.sampler);
  const auto share = [&](int64_t step) -> std::optional<data::RankShare> {
    if (step >= state.total_steps) return std::nullopt;
    const std::vector<int64_t> samples = sampler.global_step(step);
    std::vector<int32_t> lengths;
    for (int64_t sample : samples) lengths.push_back(setup_.train->lengths()[static_cast<size_t>(sample)]);
    return data::deal(samples, lengths, comm_.size(), options_.batch.per_device_train_batch_size,
                      comm_.device().is_cpu() ? kCpuMicroBatchTokens : 0)[static_cast<size_t>(comm_.rank())];
  };
  const data::BatchTransform transform = batch_transform();
  const auto finish_batch = [&](data::Batch& batch, int64_t step) {
    if (transform) transform(batch, static_cast<uint64_t>(step / plan.steps_per_epoch));
  };
  data::Prefetcher prefetcher(*setup_.train, share, state.global_step, kStepsAhead, finish_batch);

  last_step_ = Clock::now();
  while (state.global_step < state.total_steps && !early_stop_) {
    failpoint("step");
    comm_.set_stage(concat("step ", state.global_step + 1));
    const std::optional<data::StepData> data = prefetcher.next();
    check_internal(data.has_value(), "no data for step ", state.global_step + 1, " of ", state.total_steps);
    const std::span<const data::Batch> batches = data->micro_batches;
    const bool timed =
        options_.eval_save.save_seconds > 0 && comm_.rank() == 0 && seconds_since(last_save_) >= options_.eval_save.save_seconds;
    const ControlWord control = train_step.agree(batches, {.stop = hooks_.stop(), .save = timed});
    if (control.stop) return false;
    save_asked_ = control.save;
    take_step(train_step, batches);
    if (!after_step()) return false;
  }
  return true;
}

data::BatchTransform TrainLoop::batch_transform() const {
  data::MaskOptions masks = options_.masks;
  masks.seed = options_.seed;
  return setup_.model->task().transform(setup_.tokenizer->vocab(), masks);
}

void TrainLoop::take_step(TrainStep& train_step, std::span<const data::Batch> batches) {
  RunState& state = setup_.state;
  const RunPlan& plan = setup_.plan;
  const Schedule schedule{options_.lr_scheduler_type, state.total_steps, state.warmup_steps};
  const double peak = options_.optimizer.learning_rate;
  const double lr = peak * schedule.factor(state.global_step, peak);
  const StepResult result = train_step.run(batches, state.global_step, lr);
  if (!result.finite) not_finite(train_step);
  ++state.global_step;
  state.samples_seen += result.samples;
  state.optimizer_steps = setup_.optimizer->steps();
  if (!log_) return;
  const Clock::time_point now = Clock::now();
  log_->step({.step = state.global_step,
              .epoch = plan.epoch_at(state.global_step),
              .loss = result.loss,
              .learning_rate = lr,
              .grad_norm = result.grad_norm,
              .tokens = result.tokens,
              .samples = result.samples,
              .seconds = std::chrono::duration<double>(now - last_step_).count(),
              .skipped = !result.finite},
             plan.log_due(state.global_step, options_.logging));
  last_step_ = now;
}

void TrainLoop::not_finite(const TrainStep& train_step) {
  const std::string where = concat("step ", setup_.state.global_step + 1, " is not finite: ", train_step.culprit());
  if (options_.on_nan == OnNan::kStop)
    throw comm::AgreedError(
        ExitCode::kDiverged,
        where + ". Nothing was updated; lower --learning-rate, look at these samples, or skip such steps with --on-nan skip");
  if (comm_.rank() == 0) BOOST_LOG_TRIVIAL(warning) << where << "; skipped";
}

bool TrainLoop::after_step() {
  const RunState& state = setup_.state;
  const RunPlan& plan = setup_.plan;
  const EvalSaveOptions& o = options_.eval_save;
  bool improved = false;
  if (plan.eval_due(state.global_step, o)) {
    if (!evaluate_now()) return false;
    improved = is_best_step();
  }
  const bool best_wanted = improved && (o.save_strategy == Strategy::kBest || o.load_best_model_at_end);
  if (save_asked_ || best_wanted || plan.save_due(state.global_step, o)) save("");
  return true;
}

bool TrainLoop::evaluate_now() {
  RunState& state = setup_.state;
  const EvaluateOptions options{.batch_size = options_.batch.per_device_eval_batch_size,
                                .max_samples = options_.batch.max_eval_samples,
                                .bf16 = options_.model_options.bf16,
                                .predictions = options_.predictions,
                                .transform = batch_transform()};
  const EvalResult result = evaluate(*setup_.model, *setup_.validation, comm_, options, hooks_.stop,
                                     comm_.rank() == 0 ? hooks_.eval_progress : nullptr);
  if (result.stopped) return false;
  state.last_eval_step = state.global_step;
  judge(result);
  if (log_) {
    EvalReport report{
        .step = state.global_step, .epoch = setup_.plan.epoch_at(state.global_step), .prefix = "eval", .metrics = result.metrics};
    add_speed(report.metrics, result.seconds, result.samples, result.batches);
    log_->eval(report);
  }
  last_step_ = Clock::now();
  return true;
}

void TrainLoop::judge(const EvalResult& result) {
  const EvalSaveOptions& o = options_.eval_save;
  RunState& state = setup_.state;
  std::string name = o.metric_for_best_model.empty() ? "loss" : o.metric_for_best_model;
  if (name.starts_with("eval_")) name = name.substr(5);
  const Metrics& metrics = result.metrics;
  const auto found = std::find_if(metrics.begin(), metrics.end(), [&](const Metric& metric) { return metric.name == name; });
  if (found == metrics.end()) {
    std::string known;
    for (const Metric& metric : metrics) known += (known.empty() ? "" : ", ") + metric.name;
    throw comm::AgreedError(ExitCode::kUsage,
                            concat("--metric-for-best-model ", o.metric_for_best_model, " is not among the metrics: ", known));
  }
  const bool greater = o.greater_is_better.value_or(greater_is_better(found->kind));
  const double value = found->value, sign = greater ? 1 : -1;
  const bool better = !state.best_metric || sign * (value - *state.best_metric) > 0;
  const bool enough = !state.best_metric || sign * (value - *state.best_metric) > o.early_stopping_threshold;
  if (std::isfinite(value) && better) {
    state.best_metric = value;
    state.best_step = state.global_step;
  }
  state.evaluations_without_improvement = enough ? 0 : state.evaluations_without_improvement + 1;
  early_stop_ = o.early_stopping_patience > 0 && state.evaluations_without_improvement >= o.early_stopping_patience;
  if (early_stop_ && comm_.rank() == 0)
    BOOST_LOG_TRIVIAL(info) << "early stop at step " << state.global_step << ": no improvement of " << name << " over "
                            << counted(state.evaluations_without_improvement, "evaluation");
}

// Rank 0. "" or why it failed.
std::string TrainLoop::write_checkpoint() {
  RunState& state = setup_.state;
  folder_.check_still_owner();
  state.run_log = log_->state();
  state.log_history = log_->log_history();
  const HostTensors moments(setup_.optimizer->state());
  return save_checkpoint(options_.output_dir,
                         {.step = state.global_step,
                          .write_model = [&](const std::filesystem::path& folder) { return write_model(folder); },
                          .optimizer = moments.views(),
                          .trainer_state = state_json()});
}

std::vector<FileDigest> TrainLoop::write_model(const std::filesystem::path& folder) const {
  return save_pretrained(folder, setup_.model->config(), setup_.model->architecture().name, setup_.model->parameters(),
                         [&](const std::filesystem::path& to) {
                           setup_.tokenizer->save(to, static_cast<int>(setup_.model->config().max_position_embeddings));
                         });
}

std::string TrainLoop::state_json() const {
  const RunState& state = setup_.state;
  return state.to_json(setup_.plan.epoch_at(state.global_step),
                       state.best_step > 0 ? concat("checkpoint-", state.best_step) : "");
}

// False, with a warning, if it could not be written: training goes on, the next save tries again.
bool TrainLoop::save(const char* why) {
  RunState& state = setup_.state;
  check_replicas(setup_.model->parameters(), comm_, state.global_step);
  std::string error;
  if (comm_.rank() == 0) {
    error = write_checkpoint();
    const std::string name = concat("checkpoint-", state.global_step);
    if (error.empty()) {
      BOOST_LOG_TRIVIAL(info) << "saved " << (options_.output_dir / name).string() << (*why ? concat(" (", why, ")") : "");
      rotate_checkpoints(options_.output_dir, options_.eval_save.save_total_limit, best_step());
    } else {
      BOOST_LOG_TRIVIAL(warning) << name << " was not written: " << error
                                 << ". Older checkpoints are untouched; training goes on, the next save tries again";
    }
  }
  comm_.broadcast(error, 0);
  last_save_ = last_step_ = Clock::now();
  return error.empty();
}

void TrainLoop::load_best() {
  const RunState& state = setup_.state;
  if (!options_.eval_save.load_best_model_at_end || state.best_step == 0 || is_best_step()) return;
  const auto folder = options_.output_dir / concat("checkpoint-", state.best_step);
  load_pretrained(folder, setup_.model->parameters(), comm_, {.allow_new_head = false});
  if (comm_.rank() == 0) BOOST_LOG_TRIVIAL(info) << "the final model is the best one, of step " << state.best_step;
}

void TrainLoop::finish() {
  RunState& state = setup_.state;
  state.complete = true;
  load_best();
  comm::agree_on_root(comm_, [&] {
    log_->finish();
    state.run_log = log_->state();
    state.log_history = log_->log_history();
    if (const std::string table = closing_table(nlohmann::ordered_json::parse(state.log_history)); !table.empty()) {
      BOOST_LOG_TRIVIAL(info) << "the evaluations of this run:\n" << table;
      write_durably(options_.output_dir / "training_results.md", table);
    }
    write_model(options_.output_dir);
    write_durably(options_.output_dir / kTrainerStateFile, state_json());
  });
}

}  // namespace

TrainOutcome train(const TrainOptions& options, const RunFolder& folder, comm::Communicator& comm, TrainHooks hooks) {
  return TrainLoop(options, folder, comm, std::move(hooks)).run();
}

}  // namespace berth::train
