#include "trainer/run/step_data.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include "trainer/model/out_of_memory.h"

namespace berth::train {
namespace {

// On the CPU micro-batches are cut to about so many tokens: larger ones need more memory and are no faster
// (tests/bench/README.md).
constexpr int64_t kCpuMicroBatchTokens = 1024;

constexpr int kStepsAhead = 4;  // that are read and collated while one is computed

// One beside those that compute; the CPU has only one.
c10::Stream copy_stream(at::Device device) {
  const c10::impl::VirtualGuardImpl streams(device.type());
  return device.is_cpu() ? streams.getStream(device) : streams.getStreamFromGlobalPool(device);
}

}  // namespace

int64_t most_micro_batch_tokens(at::Device device) { return device.is_cpu() ? kCpuMicroBatchTokens : 0; }

StepDataMaker::StepDataMaker(const ModelInstance& model, at::Device device) : model_(model), copies_(copy_stream(device)) {
  for (const Bucket& bucket : model.parameters().buckets())
    if (bucket.kind == GradKind::kRows)
      table_rows_ = model.parameters().parameters()[static_cast<size_t>(bucket.parameters[0])].value.size(0);
}

StepData StepDataMaker::operator()(std::vector<data::Batch> batches) const {
  StepData data{.micro_batches = {}, .targets = model_.model().target_weights(data::Batch{}), .rows = RowSet(table_rows_)};
  for (data::Batch& batch : batches) {
    data.samples += batch.size();
    data.tokens += batch.tokens();
    data.pairs += batch.pairs();
    const std::vector<double> weights = model_.model().target_weights(batch);
    for (size_t term = 0; term < weights.size(); ++term) data.targets[term] += weights[term];
    if (table_rows_ > 0) data.rows.add(batch.input_ids);
    const auto advice = [] { return "a smaller --per-device-train-batch-size needs less"; };
    with_memory_for(batch, advice, [&] {
      BatchUpload upload(batch, copies_);
      data.micro_batches.push_back({std::move(batch), std::move(upload)});
    });
  }
  return data;
}

data::Prefetcher<StepData> read_ahead(const TrainOptions& options, const TrainSetup& setup, const comm::Communicator& comm) {
  const auto share = [&options, &setup, &comm, sampler = setup.plan.horizon.sampler()](int64_t step) {
    const std::vector<int64_t> samples = sampler.global_step(step, setup.draws ? &*setup.draws : nullptr);
    std::vector<int32_t> lengths;
    for (int64_t sample : samples) lengths.push_back(setup.train->lengths()[static_cast<size_t>(sample)]);
    return data::deal(samples, lengths, comm.size(), options.batch.per_device_train_batch_size,
                      most_micro_batch_tokens(comm.device()))[static_cast<size_t>(comm.rank())];
  };
  const auto make = [&setup, share, transform = batch_transform(options, setup), sampler = setup.plan.horizon.sampler(),
                     make_data = StepDataMaker(*setup.model, comm.device())](int64_t step) -> std::optional<StepData> {
    if (step >= setup.plan.horizon.total_steps) return std::nullopt;
    try {
      std::vector<data::Batch> batches = data::read_batches(*setup.train, share(step));
      if (transform)
        for (data::Batch& batch : batches) transform(batch, static_cast<uint64_t>(sampler.position(step).epoch));
      return make_data(std::move(batches));
    } catch (...) {
      StepData none = make_data({});
      none.failure = std::current_exception();
      return none;
    }
  };
  return data::Prefetcher<StepData>(make, setup.state.global_step, kStepsAhead);
}

data::BatchTransform batch_transform(const TrainOptions& options, const TrainSetup& setup) {
  data::MaskOptions masks = options.masks;
  masks.seed = options.seed;
  return setup.model->task().transform(setup.tokenizer->vocab(), masks);
}

}  // namespace berth::train
