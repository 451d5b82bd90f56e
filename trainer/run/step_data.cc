#include "trainer/run/step_data.h"

namespace berth::train {
namespace {

// On the CPU micro-batches are cut to about so many tokens: larger ones need more memory and are no faster
// (tests/bench/README.md).
constexpr int64_t kCpuMicroBatchTokens = 1024;

constexpr int kStepsAhead = 4;  // that are read and collated while one is computed

}  // namespace

data::Prefetcher read_ahead(const TrainOptions& options, const TrainSetup& setup, const comm::Communicator& comm) {
  const auto share = [&, sampler = setup.plan.horizon.sampler()](int64_t step) -> std::optional<data::RankShare> {
    if (step >= setup.plan.horizon.total_steps) return std::nullopt;
    const std::vector<int64_t> samples = sampler.global_step(step);
    std::vector<int32_t> lengths;
    for (int64_t sample : samples) lengths.push_back(setup.train->lengths()[static_cast<size_t>(sample)]);
    return data::deal(samples, lengths, comm.size(), options.batch.per_device_train_batch_size,
                      comm.device().is_cpu() ? kCpuMicroBatchTokens : 0)[static_cast<size_t>(comm.rank())];
  };
  const auto finish = [transform = batch_transform(options, setup), sampler = setup.plan.horizon.sampler()](data::Batch& batch,
                                                                                                            int64_t step) {
    if (transform) transform(batch, static_cast<uint64_t>(sampler.position(step).epoch));
  };
  return data::Prefetcher(*setup.train, share, setup.state.global_step, kStepsAhead, finish);
}

data::BatchTransform batch_transform(const TrainOptions& options, const TrainSetup& setup) {
  data::MaskOptions masks = options.masks;
  masks.seed = options.seed;
  return setup.model->task().transform(setup.tokenizer->vocab(), masks);
}

}  // namespace berth::train
