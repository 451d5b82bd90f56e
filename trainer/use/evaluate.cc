#include "trainer/use/evaluate.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <array>
#include <boost/log/trivial.hpp>
#include <chrono>
#include <cstring>
#include <deque>
#include <optional>

#include "data/check.h"
#include "data/files/failpoint.h"
#include "data/json/json.h"
#include "data/pipeline/sampler.h"
#include "trainer/comm/agree.h"
#include "trainer/kernels/compute.h"
#include "trainer/model/out_of_memory.h"
#include "trainer/tasks/analysis.h"
#include "trainer/use/gather.h"
#include "trainer/use/host_logits.h"

namespace berth::train {
namespace {

constexpr int64_t kBatchesBetweenStopChecks = 8;
constexpr int64_t kTokensOfAThread = 1024;  // of a batch that one thread computes, beside others

// Rank 0's metrics on every rank.
Metrics broadcast_metrics(Metrics metrics, comm::Communicator& comm) {
  nlohmann::json names = nlohmann::json::array();
  // Values travel as raw doubles, because JSON has no NaN.
  std::vector<double> values;
  for (const Metric& metric : metrics) {
    names.push_back({metric.name, metric.kind});
    values.push_back(metric.value);
  }
  std::string bytes = comm.rank() == 0 ? data::dump_json(names) : "";
  std::string raw(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double));
  comm.broadcast(bytes, 0);
  comm.broadcast(raw, 0);
  if (comm.rank() == 0) return metrics;
  size_t i = 0;
  for (const auto& pair : data::parse_json(bytes, "", data::kOwnJson, ExitCode::kInternal)) {
    double value = 0;
    std::memcpy(&value, raw.data() + i++ * sizeof(double), sizeof(double));
    metrics.push_back({pair[0].get<std::string>(), value, pair[1].get<MetricKind>()});
  }
  return metrics;
}

// Metrics stand without their analysis, but not without predictions that were asked for.
nlohmann::ordered_json analysed(const Task& task, const std::vector<EvalRecord>& records, const EvalContext& context,
                                const AnalysisOptions& options) {
  try {
    return task.analyse(records, context, options);
  } catch (const std::exception& error) {
    if (options.predictions != nullptr) throw;
    BOOST_LOG_TRIVIAL(warning) << context.split.name()
                               << " was evaluated, but what its mistakes are is not known: " << error.what();
    return nullptr;
  }
}

// Of the samples of a batch, together; 0 if there is no such batch.
int64_t tokens_of(const data::Split& split, const std::vector<std::vector<int64_t>>& batches, int64_t batch) {
  int64_t tokens = 0;
  if (batch < std::ssize(batches))
    for (const int64_t sample : batches[static_cast<size_t>(batch)]) tokens += split.lengths()[static_cast<size_t>(sample)];
  return tokens;
}

}  // namespace

HostLogits::HostLogits(const ModelInstance& model, const data::Batch& batch, at::Device device, at::ScalarType compute_type)
    : HostLogits(
          [&](const DeviceBatch& on_device, const ForwardContext& context) { return model.model().logits(on_device, context); },
          batch, device, compute_type) {}

HostLogits::HostLogits(const Forward& forward, const data::Batch& batch, at::Device device, at::ScalarType compute_type)
    : there_(device.type()) {
  const ForwardContext context{.compute_type = compute_type};
  const auto advice = [] { return "a smaller --per-device-eval-batch-size gives the same results"; };
  with_memory_for(batch, advice, [&] {
    logits_ = forward(to_device(batch, device), context);
    for (at::Tensor& tensor : logits_) {
      tensor = tensor.to(at::kFloat).contiguous();
      if (device.is_cpu()) continue;
      at::Tensor host = at::empty(tensor.sizes(), at::TensorOptions().dtype(at::kFloat).pinned_memory(true));
      host.copy_(tensor, /*non_blocking=*/true);
      tensor = std::move(host);
    }
  });
  if (!device.is_cpu()) there_.record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
}

const std::vector<at::Tensor>& HostLogits::get() const {
  there_.synchronize();
  return logits_;
}

EvalResult evaluate(const ModelInstance& model, const data::Split& split, comm::Communicator& comm,
                    const EvaluateOptions& options, const std::function<bool()>& stop,
                    const std::function<void(int64_t, int64_t)>& progress) {
  const auto start = std::chrono::steady_clock::now();
  at::NoGradGuard no_grad;
  model.parameters().await_values();  // several threads read them
  const int64_t samples = options.max_samples < 0 ? split.size() : std::min(split.size(), options.max_samples);
  const auto batches = data::evaluation_batches(split.lengths().subspan(0, static_cast<size_t>(samples)), options.batch_size);
  const int64_t rounds = (static_cast<int64_t>(batches.size()) + comm.size() - 1) / comm.size();

  const auto origin = [&] { return concat(split.path().string(), ": ", split.name()); };
  std::vector<EvalRecord> own;
  struct Computed {
    data::Batch batch;
    std::optional<HostLogits> logits;
  };
  std::deque<Computed> computed;
  // All but the last so many, which a GPU may be busy with.
  const auto record = [&](size_t left) {
    for (; computed.size() > left; computed.pop_front()) {
      const Computed& one = computed.front();
      in_context(origin, [&] { model.task().record(one.logits->get(), one.batch, options.predictions, own); });
    }
  };
  const auto compute = [&](Computed& one) {
    one.logits.emplace(model, one.batch, comm.device(), compute_type(options.precision));
  };
  const auto read = [&](int64_t round) {
    if (round % kBatchesBetweenStopChecks > 0) data::failpoint("evaluation");
    const auto index = static_cast<size_t>(round * comm.size() + comm.rank());
    if (index >= batches.size()) return;
    Computed& one = computed.emplace_back();
    split.read(batches[index], one.batch);
    if (options.transform) options.transform(one.batch, data::kFixedMasks);
  };
  // Threads share the work on a long batch, and have a short one each. Of rounds in which this rank has none, too.
  const auto is_short = [&](int64_t round) {
    return comm.device().is_cpu() && compute_threads() > 1 &&
           tokens_of(split, batches, round * comm.size() + comm.rank()) <= kTokensOfAThread;
  };
  const auto tell = [&](int64_t round) {
    if (progress) progress(std::min(samples, round * comm.size() * options.batch_size), samples);
  };
  std::exception_ptr failure;  // of this rank, until all know of it
  for (int64_t round = 0; round < rounds;) {
    data::failpoint("evaluation");
    std::array<int64_t, 2> any{stop() ? 1 : 0, failure ? 1 : 0};
    comm.all_reduce_sum(any);
    if (any[1] > 0) break;
    if (any[0] > 0) return {.stopped = true};
    const int64_t end = std::min(rounds, round + kBatchesBetweenStopChecks);
    try {
      while (round < end) {
        const size_t before = computed.size();
        if (!is_short(round)) {
          read(round++);
          if (computed.size() > before) compute(computed.back());
          record(1);
        } else {
          for (int thread = 0; thread < compute_threads() && round < end && is_short(round); ++thread) read(round++);
          side_by_side(std::ssize(computed) - static_cast<int64_t>(before),
                       [&](int64_t i) { compute(computed[before + static_cast<size_t>(i)]); });
          record(0);
        }
        tell(round);
      }
    } catch (...) {
      failure = std::current_exception();
    }
    round = end;
  }

  comm::agree(comm, [&] {
    if (failure) std::rethrow_exception(failure);
    record(0);
  });

  const std::vector<EvalRecord> records = gather_records(own, comm);
  Evaluation evaluation;
  nlohmann::ordered_json analysis;
  std::string predictions;
  comm::agree_on_root(comm, [&] {
    check_internal(static_cast<int64_t>(records.size()) == samples, "evaluation gathered ", records.size(), " results for ",
                   samples, " samples");
    const EvalContext context{model.config(), split, options.predictions};
    evaluation = in_context(origin, [&] { return model.task().evaluate(records, context); });
    if (options.analyse_with != nullptr)
      analysis = analysed(model.task(), records, context,
                          {.tokenizer = *options.analyse_with, .predictions = options.tell_predictions ? &predictions : nullptr});
  });
  const Metrics metrics = broadcast_metrics(std::move(evaluation.metrics), comm);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return {.metrics = metrics,
          .files = std::move(evaluation.files),
          .analysis = std::move(analysis),
          .predictions = std::move(predictions),
          .samples = samples,
          .batches = std::ssize(batches),
          .seconds = seconds};
}

}  // namespace berth::train
