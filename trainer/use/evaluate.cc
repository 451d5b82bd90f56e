#include "trainer/use/evaluate.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <array>
#include <boost/log/trivial.hpp>
#include <chrono>
#include <cstring>
#include <deque>

#include "data/check.h"
#include "data/files/failpoint.h"
#include "data/json/json.h"
#include "data/pipeline/sampler.h"
#include "trainer/comm/agree.h"
#include "trainer/model/out_of_memory.h"
#include "trainer/tasks/analysis.h"
#include "trainer/use/gather.h"
#include "trainer/use/host_logits.h"

namespace berth::train {
namespace {

constexpr int64_t kBatchesBetweenStopChecks = 8;

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
  const int64_t samples = options.max_samples < 0 ? split.size() : std::min(split.size(), options.max_samples);
  const auto batches = data::evaluation_batches(split.lengths().subspan(0, static_cast<size_t>(samples)), options.batch_size);
  const int64_t rounds = (static_cast<int64_t>(batches.size()) + comm.size() - 1) / comm.size();

  const auto origin = [&] { return concat(split.path().string(), ": ", split.name()); };
  std::vector<EvalRecord> own;
  struct Computed {
    data::Batch batch;
    HostLogits logits;
  };
  std::deque<Computed> computed;
  // All but the last so many, which a GPU may be busy with.
  const auto record = [&](size_t left) {
    for (; computed.size() > left; computed.pop_front()) {
      const Computed& one = computed.front();
      in_context(origin, [&] { model.task().record(one.logits.get(), one.batch, options.predictions, own); });
    }
  };
  const auto compute = [&](const std::vector<int64_t>& samples_of_batch) {
    data::Batch batch;
    split.read(samples_of_batch, batch);
    if (options.transform) options.transform(batch, data::kFixedMasks);
    HostLogits logits(model, batch, comm.device(), compute_type(options.precision));
    computed.push_back({std::move(batch), std::move(logits)});
    record(1);
  };
  std::exception_ptr failure;  // of this rank, until all know of it
  for (int64_t round = 0; round < rounds; ++round) {
    data::failpoint("evaluation");
    if (round % kBatchesBetweenStopChecks == 0) {
      std::array<int64_t, 2> any{stop() ? 1 : 0, failure ? 1 : 0};
      comm.all_reduce_sum(any);
      if (any[1] > 0) break;
      if (any[0] > 0) return {.stopped = true};
    }
    const size_t index = static_cast<size_t>(round * comm.size() + comm.rank());
    if (index < batches.size() && !failure) {
      try {
        compute(batches[index]);
      } catch (...) {
        failure = std::current_exception();
      }
    }
    if (progress) progress(std::min(samples, (round + 1) * comm.size() * options.batch_size), samples);
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
