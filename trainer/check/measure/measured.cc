#include "trainer/check/measure/measured.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <span>

#include "data/check.h"
#include "data/words.h"
#include "trainer/comm/agree.h"
#include "trainer/model/device_memory.h"
#include "trainer/run/micro_batch.h"
#include "trainer/run/step_data.h"
#include "trainer/run/train_step.h"
#include "trainer/use/evaluate.h"

namespace berth::preflight {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kLongStep = 2;         // seconds: of longer ones a part is measured
constexpr double kPatience = 4;         // seconds for steps
constexpr int64_t kSteps = 10;          // measured at most, after one to begin with
constexpr double kEvaluation = 2;       // seconds for an evaluation
constexpr int64_t kLeastEvaluated = 8;  // samples

double seconds_since(Clock::time_point then) { return std::chrono::duration<double>(Clock::now() - then).count(); }

double longest(comm::Communicator& comm, double seconds) {
  auto nanoseconds = static_cast<int64_t>(1e9 * seconds);
  comm.all_reduce_max(std::span<int64_t>(&nanoseconds, 1));
  return 1e-9 * static_cast<double>(nanoseconds);
}

int64_t tokens_of(std::span<const int32_t> lengths) { return std::accumulate(lengths.begin(), lengths.end(), int64_t{0}); }

}  // namespace

PassTime pass_largest(const train::TrainOptions& options, const train::TrainSetup& setup, comm::Communicator& comm,
                      MemoryFacts& memory, double& bytes) {
  comm.set_stage("check: the largest micro-batch");
  const int64_t global = setup.plan.horizon.global_batch, share = (global + comm.size() - 1) / comm.size();
  data::Batch batch;
  comm::agree(comm, [&] {
    batch = train::largest_micro_batch(setup, options, std::min(options.batch.per_device_train_batch_size, share), comm.device());
  });
  memory.gpu = comm.device().is_cuda();
  memory.micro_batch = concat(counted(batch.size(), "sample"), " with ", counted(batch.tokens(), "token"));
  const auto began = Clock::now();
  int64_t too_large = 0;
  if (memory.gpu) {
    const std::optional<int64_t> taken = train::try_micro_batch(*setup.model, options, batch, comm.device());
    too_large = taken && *taken <= train::room(comm.device()) ? 0 : 1;
    bytes = static_cast<double>(taken.value_or(0));
  } else {
    train::try_pass(*setup.model, options, batch, comm.device());
  }
  comm.all_reduce_max(std::span<int64_t>(&too_large, 1));
  memory.fits = too_large == 0;
  if (!memory.fits) memory.advice = train::advice_for(*setup.model, options, batch, comm.device());
  return {.seconds = longest(comm, seconds_since(began)), .tokens = batch.tokens()};
}

void look_at_memory(const std::vector<RankFacts>& ranks, comm::Communicator& comm, double bytes, MemoryFacts& memory) {
  double peak = static_cast<double>(train::peak_host_memory());
  std::optional<int64_t> left = available_memory();
  if (memory.gpu) {
    const train::DeviceMemory gpu = train::device_memory(comm.device());
    peak = std::max(static_cast<double>(gpu.peak), static_cast<double>(gpu.used) + bytes);
    left = train::room(comm.device()) - static_cast<int64_t>(bytes);
  }
  auto most = static_cast<int64_t>(peak);
  comm.all_reduce_max(std::span<int64_t>(&most, 1));
  memory.peak = static_cast<double>(most);
  const std::vector<std::string> all = comm.all_gather(left ? std::to_string(*left) : "");
  for (size_t r = 0; r < all.size(); ++r) {
    if (all[r].empty()) continue;
    const int64_t here = std::stoll(all[r]);
    if (memory.left && *memory.left <= here) continue;
    memory.left = here;
    memory.least = memory.gpu ? concat("the GPU of rank ", r, " on ", ranks[r].host) : ranks[r].host;
  }
}

StepTime time_steps(const train::TrainOptions& options, train::TrainSetup& setup, const PassTime& pass,
                    comm::Communicator& comm) {
  comm.set_stage("check: training steps");
  train::Horizon& horizon = setup.plan.horizon;
  const int64_t asked = horizon.global_batch, done = setup.state.global_step;
  const auto mean = static_cast<double>(tokens_of(setup.train->lengths())) / static_cast<double>(setup.train->size());
  const double expected =
      pass.seconds / static_cast<double>(pass.tokens) * mean * static_cast<double>(asked) / static_cast<double>(comm.size());
  if (expected > kLongStep)
    horizon.global_batch =
        std::max<int64_t>(comm.size(), static_cast<int64_t>(kLongStep / expected * static_cast<double>(asked)));
  StepTime time{.samples = horizon.global_batch};
  train::TrainStep train_step(*setup.model, *setup.optimizer, comm, options);
  data::Prefetcher<train::StepData> prefetcher = train::read_ahead(options, setup, comm);
  const std::vector<double> rates(setup.optimizer->peaks().size(), 0);
  double all = 0, counted_seconds = 0;
  int64_t steps = 0;
  for (int64_t step = done; step < horizon.total_steps && steps < kSteps && all < kPatience; ++step) {
    const auto began = Clock::now();
    std::optional<train::StepData> data = prefetcher.next();
    check_internal(data.has_value(), "no data for step ", step + 1);
    train_step.agree(*std::move(data), {});
    train_step.start(step, rates);
    const train::StepResult result = train_step.finish();
    const double seconds = longest(comm, seconds_since(began));
    all += seconds;
    if (step > done || step + 1 == horizon.total_steps || all >= kPatience) {
      counted_seconds += seconds;
      ++steps;
    }
    if (step == done && !result.finite && !result.overflowed) {
      time.not_finite = train_step.culprit(step);
      break;
    }
  }
  train_step.await_values();
  time.seconds = counted_seconds / static_cast<double>(std::max<int64_t>(1, steps)) * static_cast<double>(asked) /
                 static_cast<double>(horizon.global_batch);
  horizon.global_batch = asked;
  return time;
}

double time_evaluation(const train::TrainOptions& options, const train::TrainSetup& setup, const PassTime& pass,
                       comm::Communicator& comm) {
  comm.set_stage("check: evaluation");
  const int64_t most = options.batch.max_eval_samples, size = setup.validation->size();
  const std::span<const int32_t> lengths =
      setup.validation->lengths().first(static_cast<size_t>(most < 0 ? size : std::min(most, size)));
  // Forward takes a third of what forward and backward do.
  const double of_token = pass.seconds / static_cast<double>(pass.tokens) / 3 / comm.size();
  double expected = 0;
  int64_t samples = 0;
  while (samples < std::ssize(lengths) && (expected < kEvaluation || samples < kLeastEvaluated))
    expected += of_token * lengths[static_cast<size_t>(samples++)];
  const train::EvalResult result = train::evaluate(*setup.model, *setup.validation, comm,
                                                   {.batch_size = options.batch.per_device_eval_batch_size,
                                                    .max_samples = samples,
                                                    .precision = options.model_options.precision,
                                                    .predictions = options.predictions,
                                                    .transform = train::batch_transform(options, setup)},
                                                   [] { return false; });
  const auto seen = static_cast<double>(std::max<int64_t>(1, tokens_of(lengths.first(static_cast<size_t>(samples)))));
  return longest(comm, result.seconds) * static_cast<double>(tokens_of(lengths)) / seen;
}

}  // namespace berth::preflight
