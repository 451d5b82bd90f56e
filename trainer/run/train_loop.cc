#include "trainer/run/train_loop.h"

#include <boost/log/trivial.hpp>
#include <chrono>
#include <cmath>

#include "data/check.h"
#include "data/files/failpoint.h"
#include "data/words.h"
#include "trainer/comm/agree.h"
#include "trainer/model/flops.h"
#include "trainer/run/environment.h"
#include "trainer/run/introduction.h"
#include "trainer/run/micro_batch.h"
#include "trainer/run/not_finite.h"
#include "trainer/run/peak_flops.h"
#include "trainer/run/records.h"
#include "trainer/run/saving.h"
#include "trainer/run/step_data.h"
#include "trainer/run/step_trace.h"
#include "trainer/run/stragglers.h"
#include "trainer/run/time_limit.h"
#include "trainer/run/train_setup.h"
#include "trainer/run/train_step.h"
#include "trainer/trace/range.h"
#include "trainer/use/evaluate.h"

namespace berth::train {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_of(Clock::time_point time) { return std::chrono::duration<double>(time.time_since_epoch()).count(); }

class TrainLoop {
 public:
  TrainLoop(const TrainOptions& options, const RunFolder& folder, comm::Communicator& comm, TrainHooks hooks)
      : options_(options),
        comm_(comm),
        hooks_(std::move(hooks)),
        setup_(set_up(options, &folder, comm)),
        saving_(options, folder, setup_, comm) {}

  TrainOutcome run();

 private:
  // Each returns false if a stop was agreed on.
  bool train_to_the_end();
  bool take_step(TrainStep& train_step, StepData data);
  void look_at_ranks(const TrainStep& train_step);
  bool time_is_up(const TrainStep& train_step);
  bool evaluate_now();

  void count(const BestModel& best);

  void finish_steps(TrainStep& train_step, int64_t most_under_way);
  void finish_step(TrainStep& train_step);
  // Of the step that comes after `step` steps: one for each group of parameters.
  std::vector<double> learning_rates(int64_t step) const;
  bool stops_early() const { return state_.best.stops_early(options_.eval_save.early_stopping_patience); }
  void note_seconds();
  void save(std::string_view why = "", Saving::What what = Saving::What::kAsAsked);
  void remember_log();
  void finish();

  TrainOptions options_;  // with the micro-batch that was found
  comm::Communicator& comm_;
  TrainHooks hooks_;
  TrainSetup setup_;
  RunState& state_ = setup_.state;
  const RunPlan& plan_ = setup_.plan;
  Saving saving_;
  std::unique_ptr<RunLog> log_;               // rank 0
  std::optional<ProvenanceFile> provenance_;  // rank 0
  ModelFlops flops_;
  double peak_flops_ = 0;  // of all ranks, a second; NaN: not known
  Clock::time_point last_step_ = Clock::now();
  std::optional<Stragglers> stragglers_;  // rank 0
  std::optional<TimeLimit> limit_;        // rank 0
  JobSeconds seconds_;                    // rank 0
};

TrainOutcome TrainLoop::run() {
  if (state_.complete) {
    if (comm_.rank() == 0) tell_idle_options(options_.output_dir, hooks_.options);
    return TrainOutcome::kDone;
  }
  comm_.set_stage("start: planning");
  state_.environment = describe_environment(comm_, setup_.model->parameters().is_cut_among_all(), state_.environment);
  if (options_.batch.auto_find_batch_size) {
    options_.batch.per_device_train_batch_size = find_micro_batch(setup_, options_, comm_);
    options_.batch.global_batch_size = plan_.horizon.global_batch;
  }
  state_.train_batch_size = options_.batch.per_device_train_batch_size;
  flops_ = model_flops(setup_.model->parameters(), setup_.model->config());
  peak_flops_ = peak_flops_of_ranks(options_.model_options, comm_);
  comm::agree_on_root(comm_,
                      [&] { seconds_ = lost_after(state_.global_step, state_.horizon.global_batch, options_.output_dir); });
  comm::agree_on_root(comm_, [&] { log_ = open_log(options_, state_, std::move(hooks_.sinks)); });
  std::vector<std::string> hosts = hosts_of_ranks(comm_);
  Provenance provenance = provenance_of(setup_, hooks_.version, hooks_.options, hosts, comm_);
  provenance.changed_options = hooks_.changed_options;
  if (log_) {
    stragglers_.emplace(std::move(hosts));
    provenance_.emplace(options_.output_dir, std::move(provenance)).write(seconds_);
    for (const std::string& line : introduction(options_, setup_)) BOOST_LOG_TRIVIAL(info) << line;
    if (const std::string told = warm_up_warning(state_.horizon, options_.optimizer.learning_rate); !told.empty())
      BOOST_LOG_TRIVIAL(warning) << told;
    saving_.look_for_room();
    limit_.emplace(hooks_.end ? std::optional(seconds_of(*hooks_.end)) : std::nullopt, saving_.checkpoint_bytes());
    log_->started(state_.global_step, state_.horizon.total_steps);
  }
  if (!train_to_the_end()) {
    if (log_) log_->stopped();
    save("stopped early", Saving::What::kOfStop);
    const bool saved = saving_.settle();
    note_seconds();
    if (!saved)
      fail(ExitCode::kInternal, "stopped on request at step ", state_.global_step, ", but its checkpoint could not be written");
    return TrainOutcome::kStoppedEarly;
  }
  finish();
  return TrainOutcome::kDone;
}

bool TrainLoop::train_to_the_end() {
  // A run that was stopped while it evaluated, evaluates first.
  if (state_.global_step > 0 && plan_.eval_due(state_.global_step, options_.eval_save) &&
      state_.last_eval_step != state_.global_step) {
    if (!evaluate_now()) return false;
    if (saving_.best_is_wanted() || plan_.save_due(state_.global_step, options_.eval_save)) save();
  }
  if (options_.eval_save.eval_on_start && state_.global_step == 0 && state_.last_eval_step < 0 && !evaluate_now()) return false;
  seconds_.start = std::chrono::duration<double>(Clock::now() - hooks_.begin).count() - seconds_.evaluation - seconds_.checkpoint;
  TrainStep train_step(*setup_.model, *setup_.optimizer, comm_, options_);
  StepTrace step_trace(options_.logging.trace_steps, options_.output_dir / "trace.json", comm_);
  data::Prefetcher<StepData> prefetcher = read_ahead(options_, setup_, comm_);
  last_step_ = Clock::now();
  while (state_.global_step < state_.horizon.total_steps && !stops_early()) {
    if (data::failpoint_is_set("step")) saving_.settle();
    data::failpoint("step");
    const int64_t step = state_.global_step + train_step.under_way() + 1;
    step_trace.at_step(step);
    comm_.set_stage(concat("step ", step, ": reading data"));
    train_step.begin_clock();
    std::optional<StepData> data;
    {
      const trace::Range range("read data");
      data = prefetcher.next();
    }
    check_internal(data.has_value(), "no data for step ", step, " of ", state_.horizon.total_steps);
    if (!take_step(train_step, std::move(*data))) {
      step_trace.end();
      return false;
    }
  }
  step_trace.end();
  return true;
}

// A step with what is due after it. On a GPU, which has then begun with this step, what came of the one before it is heard of here:
// the host never waits for a GPU that has nothing to do but where evaluation, a checkpoint or the end wants all steps finished.
bool TrainLoop::take_step(TrainStep& train_step, StepData data) {
  const EvalSaveOptions& o = options_.eval_save;
  const bool timed = o.save_seconds > 0 && comm_.rank() == 0 && saving_.seconds_since_checkpoint() >= o.save_seconds;
  const ControlWord control = train_step.agree(std::move(data), {.stop = hooks_.stop() || time_is_up(train_step), .save = timed});
  look_at_ranks(train_step);
  if (control.stop) {
    finish_steps(train_step, 0);
    train_step.await_values();
    return false;
  }
  const int64_t before = state_.global_step + train_step.under_way(), step = before + 1;
  {
    const trace::Range range("step");
    train_step.start(before, learning_rates(before));
  }
  const bool last = step == state_.horizon.total_steps;
  const bool due = last || control.save || plan_.eval_due(step, o) || plan_.save_due(step, o);
  if (due) train_step.await_values();
  finish_steps(train_step, due ? 0 : train_step.most_under_way());
  train_step.end_clock();
  if (!due) return true;
  if (plan_.eval_due(state_.global_step, o) && !evaluate_now()) return false;
  if (control.save || saving_.best_is_wanted() || plan_.save_due(state_.global_step, o)) save();
  return true;
}

// What all ranks needed for their last step.
void TrainLoop::look_at_ranks(const TrainStep& train_step) {
  if (!stragglers_) return;
  const double wait = std::min(wait_for_slowest(train_step.parts_of_ranks()), seconds_.train);
  seconds_.wait += wait;
  seconds_.train -= wait;
  for (const std::string& line : stragglers_->saw_step(train_step.parts_of_ranks(), train_step.seconds()))
    BOOST_LOG_TRIVIAL(warning) << line;
}

// Whether the next step might be one too many.
bool TrainLoop::time_is_up(const TrainStep& train_step) {
  if (!limit_) return false;
  if (const double seconds = saving_.seconds_of_last_write(); seconds > 0) limit_->saw_save(seconds);
  const double now = seconds_of(Clock::now());
  if (const std::string told = limit_->forecast(now, state_.horizon.total_steps - state_.global_step); !told.empty())
    BOOST_LOG_TRIVIAL(info) << told;
  const int64_t next = state_.global_step + train_step.under_way() + 1;
  if (!limit_->reached(now, {.evaluation = plan_.eval_due(next, options_.eval_save), .other_save = saving_.is_writing()}))
    return false;
  BOOST_LOG_TRIVIAL(info) << "the job's time is nearly up: it saves and stops";
  return true;
}

std::vector<double> TrainLoop::learning_rates(int64_t step) const {
  const Horizon& horizon = state_.horizon;
  const double factor = horizon.learning_rate_factor(step, options_.optimizer.learning_rate);
  std::vector<double> rates = setup_.optimizer->peaks();
  for (double& rate : rates) rate = lowered(rate, state_.plateau.reductions, horizon.schedule_kwargs) * factor;
  return rates;
}

void TrainLoop::finish_steps(TrainStep& train_step, int64_t most_under_way) {
  while (train_step.under_way() > most_under_way) finish_step(train_step);
}

void TrainLoop::finish_step(TrainStep& train_step) {
  const StepResult result = train_step.finish();
  const double lr = learning_rates(state_.global_step).front();
  ++state_.global_step;
  state_.samples_seen += result.samples;
  state_.optimizer_steps = setup_.optimizer->steps();
  if (!overflow_is_skipped(state_, result, comm_.rank())) {
    state_.skipped_in_a_row = result.finite ? 0 : state_.skipped_in_a_row + 1;
    if (!result.finite) stop_or_skip(state_, options_.on_nan, train_step.culprit(state_.global_step - 1), comm_.rank());
  }
  if (!log_) return;
  const Clock::time_point now = Clock::now();
  const double waited = saving_.take_waited(), seconds = std::chrono::duration<double>(now - last_step_).count() - waited;
  const bool log_due = plan_.log_due(state_.global_step, options_.logging);
  log_->step({.step = state_.global_step,
              .epoch = plan_.epoch_at(state_.global_step),
              .loss = result.loss,
              .learning_rate = lr,
              .grad_norm = result.grad_norm,
              .tokens = result.tokens,
              .samples = result.samples,
              .seconds = seconds,
              .flops = flops_.of(result.tokens, result.pairs),
              .most_flops = peak_flops_ * seconds,
              .memory = log_due ? memory_peak(comm_) : MemoryPeak{},
              .skipped = !result.finite && !result.overflowed,
              .overflowed = result.overflowed},
             log_due);
  last_step_ = now;
  limit_->saw_step(seconds);
  seconds_.train += seconds;
  seconds_.checkpoint += waited;
  seconds_.steps = train_step.phases();
}

bool TrainLoop::evaluate_now() {
  const trace::Range range("evaluate");
  comm_.set_stage(concat("evaluation after step ", state_.global_step));
  const EvaluateOptions options{.batch_size = options_.batch.per_device_eval_batch_size,
                                .max_samples = options_.batch.max_eval_samples,
                                .precision = options_.model_options.precision,
                                .predictions = options_.predictions,
                                .transform = batch_transform(options_, setup_),
                                .analyse_with = log_ ? &*setup_.tokenizer : nullptr};
  const auto progress = [&](int64_t done, int64_t total) {
    if (log_) log_->evaluating(done, total);
  };
  const bool at_start = state_.global_step == 0;
  const auto began = Clock::now();
  setup_.optimizer->swap_averages();
  const EvalResult result = evaluate(*setup_.model, *setup_.validation, comm_, options, hooks_.stop, progress);
  setup_.optimizer->swap_averages();
  if (result.stopped) return false;
  state_.last_eval_step = state_.global_step;
  BestModel best;
  comm::agree(comm_, [&] { best = judge(state_.best, result.metrics, state_.global_step, options_.eval_save.best_model()); });
  if (!at_start) count(best);
  if (log_) {
    EvalReport report{
        .step = state_.global_step, .epoch = plan_.epoch_at(state_.global_step), .prefix = "eval", .metrics = result.metrics};
    add_speed(report.metrics, result.seconds, result.samples, result.batches);
    log_->eval(report);
    if (limit_) limit_->saw_evaluation(result.seconds);
    const bool of_final_model = !options_.eval_save.load_best_model_at_end || best.step == state_.global_step;
    if (of_final_model && !at_start) write_analysis(options_.output_dir, *setup_.validation, state_.global_step, result);
  }
  last_step_ = Clock::now();
  seconds_.evaluation += std::chrono::duration<double>(last_step_ - began).count();
  return true;
}

// What follows from an evaluation of the model as it is now, the best so far being `best`.
void TrainLoop::count(const BestModel& best) {
  state_.best = best;
  if (state_.horizon.schedule == ScheduleType::kReduceLrOnPlateau)
    state_.plateau =
        after_evaluation(state_.plateau, best.last.value_or(std::nan("")), best.greater, state_.horizon.schedule_kwargs);
  if (stops_early() && comm_.rank() == 0)
    BOOST_LOG_TRIVIAL(info) << "early stop at step " << state_.global_step << ": no improvement of "
                            << options_.eval_save.best_model().name() << " over "
                            << counted(state_.best.without_improvement, "evaluation");
}

void TrainLoop::save(std::string_view why, Saving::What what) {
  const trace::Range range("save");
  comm_.set_stage(concat("checkpoint after step ", state_.global_step));
  remember_log();
  const auto began = Clock::now();
  saving_.checkpoint(why, what);
  last_step_ = Clock::now();
  seconds_.checkpoint += std::chrono::duration<double>(last_step_ - began).count();
  note_seconds();
}

void TrainLoop::note_seconds() {
  if (provenance_) provenance_->write(seconds_);
}

void TrainLoop::remember_log() {
  if (!log_) return;
  state_.run_log = log_->state();
  state_.log_history = log_->log_history();
}

void TrainLoop::finish() {
  comm_.set_stage("end: saving the model");
  const auto began = Clock::now();
  data::failpoint("finish");
  setup_.optimizer->swap_averages();
  saving_.load_best();
  state_.complete = true;
  const MemoryPeak memory = memory_peak_of_ranks(comm_);
  comm::agree_on_root(comm_, [&] {
    log_->finish(memory, device_model(comm_.device_name()));
    remember_log();
    write_closing_table(options_.output_dir, state_.log_history);
    write_card(options_, setup_, hooks_.command, hooks_.version, saving_.model_step());
    data::failpoint("finish");
    saving_.write_final_model();
    data::failpoint("finish");
    seconds_.checkpoint += std::chrono::duration<double>(Clock::now() - began).count();
    note_seconds();
  });
}

}  // namespace

TrainOutcome train(const TrainOptions& options, const RunFolder& folder, comm::Communicator& comm, TrainHooks hooks) {
  return TrainLoop(options, folder, comm, std::move(hooks)).run();
}

}  // namespace berth::train
