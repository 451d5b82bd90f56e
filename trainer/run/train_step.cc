#include "trainer/run/train_step.h"

#include <algorithm>
#include <cmath>

#include "data/check.h"
#include "data/words.h"

namespace berth::train {
namespace {

// The embedding rows that these micro-batches touch, sorted, each once.
std::vector<int32_t> touched_rows(std::span<const data::Batch> micro_batches) {
  std::vector<int32_t> rows;
  for (const data::Batch& batch : micro_batches) rows.insert(rows.end(), batch.input_ids.begin(), batch.input_ids.end());
  std::sort(rows.begin(), rows.end());
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  return rows;
}

std::string describe(const data::Batch& batch, size_t index, double loss) {
  return concat("micro-batch ", index, ", loss ", loss, ", samples ", joined(batch.sample_ids));
}

}  // namespace

TrainStep::TrainStep(ModelInstance& model, AdamW& optimizer, comm::Communicator& comm, const TrainOptions& options)
    : model_(model), optimizer_(optimizer), comm_(comm), options_(options), reducer_(model.parameters(), comm) {}

ControlWord TrainStep::agree(std::span<const data::Batch> micro_batches, ControlWord wish) {
  enum { kStop, kSave, kSamples, kTokens, kTargets };
  const size_t terms = model_.model().target_counts(data::Batch{}).size();
  std::vector<int64_t> sums(kTargets + terms);
  sums[kStop] = wish.stop ? 1 : 0;
  sums[kSave] = wish.save ? 1 : 0;
  for (const data::Batch& batch : micro_batches) {
    sums[kSamples] += batch.size();
    sums[kTokens] += batch.tokens();
    const std::vector<int64_t> counts = model_.model().target_counts(batch);
    for (size_t term = 0; term < terms; ++term) sums[kTargets + term] += counts[term];
  }
  comm_.all_reduce_sum(std::span<int64_t>(sums));
  samples_ = sums[kSamples];
  tokens_ = sums[kTokens];
  targets_.assign(sums.begin() + kTargets, sums.end());
  for (int64_t& count : targets_) count = std::max<int64_t>(1, count);  // a term without targets has a sum of zero
  return {.stop = sums[kStop] > 0, .save = sums[kSave] > 0};
}

double TrainStep::forward_backward(std::span<const data::Batch> micro_batches, int64_t step) {
  const ForwardContext context{.training = true,
                               .seed = options_.seed,
                               .step = step,
                               .compute_type = options_.model_options.bf16 ? at::kBFloat16 : at::kFloat,
                               .gradient_checkpointing = options_.model_options.gradient_checkpointing};
  const at::Tensor targets = at::tensor(at::ArrayRef<int64_t>(targets_)).to(comm_.device(), at::kFloat);
  double loss = 0;
  own_culprit_.clear();
  for (size_t i = 0; i < micro_batches.size(); ++i) {
    reducer_.set_last(i + 1 == micro_batches.size());
    const DeviceBatch batch = to_device(micro_batches[i], comm_.device());
    const std::vector<at::Tensor> logits = model_.model().logits(batch, context);
    const at::Tensor share =
        (model_.model().loss_sums(logits, batch, options_.model_options.label_smoothing_factor) / targets).sum();
    share.backward();
    const double value = share.item<double>();
    if (!std::isfinite(value) && own_culprit_.empty()) own_culprit_ = describe(micro_batches[i], i, value);
    loss += value;
  }
  return loss;
}

StepResult TrainStep::run(std::span<const data::Batch> micro_batches, int64_t step, double lr) {
  reducer_.begin(touched_rows(micro_batches));
  double loss = forward_backward(micro_batches, step);
  reducer_.finish();
  comm_.all_reduce_sum(std::span<double>(&loss, 1));

  StepResult result{.loss = loss,
                    .grad_norm = optimizer_.gradient_norm(reducer_.touched_rows()),
                    .samples = samples_,
                    .tokens = tokens_,
                    .finite = true};
  result.finite = std::isfinite(result.grad_norm) && std::isfinite(result.loss);
  if (!result.finite) return result;
  optimizer_.step(lr, result.grad_norm, reducer_.touched_rows());
  model_.parameters().refresh_compute_copy();
  return result;
}

std::string TrainStep::culprit() const {
  const auto all = comm_.all_gather(own_culprit_);
  for (size_t rank = 0; rank < all.size(); ++rank)
    if (!all[rank].empty()) return concat("rank ", rank, ", ", all[rank]);
  return "every rank's loss is finite: the gradient overflowed in backward or in the sum over ranks";
}

}  // namespace berth::train
