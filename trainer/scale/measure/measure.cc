#include "trainer/scale/measure/measure.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <limits>
#include <optional>
#include <utility>

#include "data/check.h"
#include "trainer/run/step_data.h"
#include "trainer/run/train_setup.h"
#include "trainer/run/train_step.h"
#include "trainer/scale/measure/recorder.h"

namespace berth::scale {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kMostRanks = 512;
constexpr int64_t kRound = 10;                                    // steps
constexpr int64_t kLeastElements = 512, kMostElements = 8 << 20;  // of an all-reduce: 2 KiB to 32 MiB, as a bucket is

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

train::TrainOptions options_for(train::TrainOptions options) {
  check_usage(options.batch.global_batch_size == 0,
              "--global-batch-size has no place here: predictions are for as many samples on each rank, however many there are; "
              "give --per-device-train-batch-size and --gradient-accumulation-steps");
  if (options.max_steps <= 0) options.max_steps = kSteps;
  options.batch.auto_find_batch_size = false;
  options.eval_save = {};
  options.zero = train::Zero::kOff;
  return options;
}

// Steps of a rank alone and of all together take turns, in rounds, so that what else the machine does disturbs both alike.
class Measuring {
 public:
  Measuring(const train::TrainOptions& options, comm::Communicator& comm)
      : options_(options),
        comm_(comm),
        recorder_(comm.device(), comm.sharers().most > 1 ? &comm : nullptr),
        round_(std::min<int64_t>(options.max_steps, kRound)),
        setup_(train::set_up(with_warm_up(options), nullptr, comm)),
        prefetcher_(train::read_ahead(options_, setup_, comm)) {}

  void run(Measurement& m);

 private:
  // There is a first round, which does not count, and each step is made twice.
  train::TrainOptions with_warm_up(train::TrainOptions options) const {
    options.max_steps = 2 * (options.max_steps + round_);
    return options;
  }
  // `begins` and `ends`: before and after each step, whose samples and tokens are noted; the device may still be at it.
  void take_steps(comm::Communicator& comm, int64_t steps, const std::function<void()>& begins,
                  const std::function<void()>& ends);
  void alone(int64_t steps);
  void together(int64_t steps);
  void average(Measurement& m);
  void find_words(Measurement& m);
  std::vector<TouchedRows> touched_rows(int64_t table_rows, double samples_of_rank);

  const train::TrainOptions& options_;
  comm::Communicator& comm_;
  Recorder recorder_;
  int64_t round_;
  train::TrainSetup setup_;
  data::Prefetcher<train::StepData> prefetcher_;
  std::vector<double> samples_, tokens_;     // of the steps taken
  std::vector<std::vector<Mark>> recorded_;  // of steps alone
  std::vector<double> seconds_;              // of steps of all ranks
};

void Measuring::take_steps(comm::Communicator& comm, int64_t steps, const std::function<void()>& begins,
                           const std::function<void()>& ends) {
  train::TrainStep train_step(*setup_.model, *setup_.optimizer, comm, options_);
  const std::vector<double> rates = setup_.optimizer->peaks();
  comm_.barrier();
  for (int64_t step = 0; step < steps; ++step) {
    begins();
    std::optional<train::StepData> data = prefetcher_.next();
    check_internal(data.has_value(), "no data for step ", step);
    if (data->failure) std::rethrow_exception(data->failure);  // a rank that takes steps alone has no one to agree with
    samples_.push_back(static_cast<double>(data->samples));
    tokens_.push_back(static_cast<double>(data->tokens));
    // Those who share the table update it together.
    if (&comm == &recorder_ && setup_.model->parameters().shares_values())
      recorder_.leave_out([&] { comm_.all_reduce_or(data->rows.words()); });
    train_step.agree(*std::move(data), {});
    train_step.start(step, rates);
    while (train_step.under_way() > train_step.most_under_way()) train_step.finish();
    ends();
  }
  while (train_step.under_way() > 0) train_step.finish();
  train_step.await_values();
}

void Measuring::alone(int64_t steps) {
  comm_.set_stage("measuring steps of each rank alone");
  take_steps(
      recorder_, steps, [&] { recorder_.begin(); }, [&] { recorded_.push_back(recorder_.end()); });
}

// From one end to the next: of several steps that are under way a GPU has then made one.
void Measuring::together(int64_t steps) {
  comm_.set_stage("measuring steps of all ranks");
  std::optional<Clock::time_point> last;
  const auto begins = [&] {
    if (!last) last = Clock::now();
  };
  take_steps(comm_, steps, begins, [&] {
    const Clock::time_point now = Clock::now();
    seconds_.push_back(std::chrono::duration<double>(now - *std::exchange(last, now)).count());
  });
}

void Measuring::run(Measurement& m) {
  const auto both = [&](int64_t steps) {
    alone(steps);
    if (comm_.size() > 1) together(steps);
  };
  both(round_);
  recorded_.clear();
  seconds_.clear();
  samples_.clear();
  tokens_.clear();
  for (int64_t left = options_.max_steps; left > 0; left -= round_) both(std::min(left, round_));
  average(m);
  find_words(m);
}

void Measuring::average(Measurement& m) {
  std::vector<Profile> profiles;
  for (const std::vector<Mark>& marks : recorded_) profiles.push_back(profile_of(marks));
  const auto typical = [&](const auto& of) {
    std::vector<double> values;
    for (const Profile& profile : profiles) values.push_back(of(profile));
    return median(std::move(values));
  };
  m.step.buckets = profiles.back().step.buckets;
  m.step.sums_loss = !setup_.optimizer->on_device();
  // Where each of these goes, and its median on this rank.
  std::vector<std::pair<double*, double>> parts{{&m.step.before, typical([](const Profile& p) { return p.step.before; })},
                                                {&m.step.backward, typical([](const Profile& p) { return p.step.backward; })},
                                                {&m.step.after, typical([](const Profile& p) { return p.step.after; })},
                                                {&m.forward, typical([](const Profile& p) { return p.forward; })},
                                                {&m.backward, typical([](const Profile& p) { return p.backward; })},
                                                {&m.optimizer, typical([](const Profile& p) { return p.optimizer; })},
                                                {&m.samples, median(samples_)},
                                                {&m.tokens, median(tokens_)}};
  for (size_t i = 0; i < m.step.buckets.size(); ++i)
    parts.emplace_back(&m.step.buckets[i].ready, typical([i](const Profile& p) { return p.step.buckets.at(i).ready; }));
  if (comm_.size() > 1) parts.emplace_back(&m.step_seconds, median(seconds_));
  std::vector<double> sums;
  for (const auto& [where, value] : parts) sums.push_back(value);
  comm_.all_reduce_sum(std::span<double>(sums));
  for (size_t i = 0; i < parts.size(); ++i) *parts[i].first = sums[i] / comm_.size();
  if (comm_.size() == 1) m.step_seconds = m.step.alone();
}

// Which all-reduce of a step is of the rows touched, and what a row has.
void Measuring::find_words(Measurement& m) {
  const train::ParameterStore& parameters = setup_.model->parameters();
  int started = 0, words = -1;
  for (const train::Bucket& bucket : parameters.buckets()) {
    if (bucket.frozen) continue;
    if (bucket.kind == train::GradKind::kRows) {
      words = started;
      const at::Tensor& table = parameters.parameters()[static_cast<size_t>(bucket.parameters[0])].value;
      m.word_bytes = static_cast<double>(table.size(0)) / 8;
      m.word_row_bytes = static_cast<double>(table.size(1)) * sizeof(float);
      m.touched = touched_rows(table.size(0), m.samples);
    }
    ++started;
  }
  // GPUs also sum the loss so, before.
  if (words >= 0) m.word_bucket = words + static_cast<int>(m.step.buckets.size()) - started;
}

// At the samples of 1, 2, 4, … ranks, in the order of training.
std::vector<TouchedRows> Measuring::touched_rows(int64_t table_rows, double samples_of_rank) {
  train::RowSet rows(table_rows);
  std::vector<TouchedRows> touched;
  const data::Sampler sampler = setup_.plan.horizon.sampler();
  data::Batch batch;
  double samples = 0, next = samples_of_rank;
  for (int64_t step = 0; next <= kMostRanks * samples_of_rank; ++step) {
    for (const int64_t sample : sampler.global_step(step, setup_.draws ? &*setup_.draws : nullptr)) {
      setup_.train->read(std::span(&sample, 1), batch);
      rows.add(batch.input_ids);
      if (++samples < next) continue;
      touched.push_back({samples, static_cast<double>(rows.rows().size())});
      next *= 2;
    }
  }
  return touched;
}

// Of the ranks' times, the longest; the median of several.
double timed(comm::Communicator& comm, int repeats, const std::function<void()>& work) {
  std::vector<double> seconds;
  for (int i = 0; i < repeats; ++i) {
    comm.barrier();
    const Instant begin(comm.device());
    work();
    auto nanoseconds = static_cast<int64_t>(1e9 * Instant(comm.device()).seconds_since(begin));
    comm.all_reduce_max(std::span<int64_t>(&nanoseconds, 1));
    seconds.push_back(1e-9 * static_cast<double>(nanoseconds));
  }
  return median(std::move(seconds));
}

}  // namespace

std::vector<Timing> time_all_reduces(comm::Communicator& comm, double seconds) {
  const at::Tensor all = comm.allocate(kMostElements);
  std::vector<Timing> timings;
  for (int64_t elements = kLeastElements; elements <= kMostElements; elements *= 4) {
    const at::Tensor part = all.narrow(0, 0, elements);
    const int repeats = elements < kMostElements / 16 ? 25 : 9;
    if (!timings.empty() && 4 * repeats * timings.back().seconds > seconds) break;
    timings.push_back(
        {static_cast<double>(part.nbytes()), timed(comm, repeats, [&] { comm.wait(comm.start_all_reduce(part)); })});
  }
  return timings;
}

Measurement measure(const train::TrainOptions& asked, comm::Communicator& comm, comm::Communicator* messages) {
  const train::TrainOptions options = options_for(asked);
  int64_t hosts = comm.local_rank() == 0 ? 1 : 0;
  comm.all_reduce_sum(std::span<int64_t>(&hosts, 1));
  Measurement m{.model = options.model,
                .data = options.data.string(),
                .device = comm.device_name(),
                .ranks = comm.size(),
                .hosts = static_cast<int>(hosts),
                .threads = at::get_num_threads()};
  Measuring(options, comm).run(m);
  if (comm.size() == 1) return m;
  comm.set_stage("measuring all-reduces");
  constexpr double kAnyTime = std::numeric_limits<double>::infinity();
  m.all_reduce = time_all_reduces(comm, kAnyTime);
  if (messages) m.messages = time_all_reduces(*messages, kAnyTime);
  double number = 0;
  m.host_all_reduce = timed(comm, 50, [&] { comm.all_reduce_sum(std::span<double>(&number, 1)); });
  return m;
}

}  // namespace berth::scale
