#include "trainer/run/train_step.h"

#include <algorithm>
#include <cmath>

#include "data/check.h"
#include "data/words.h"
#include "trainer/model/out_of_memory.h"
#include "trainer/model/upload.h"
#include "trainer/run/micro_batch.h"
#include "trainer/trace/range.h"

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

}  // namespace

TrainStep::TrainStep(ModelInstance& model, AdamW& optimizer, comm::Communicator& comm, const TrainOptions& options)
    : model_(model), optimizer_(optimizer), comm_(comm), options_(options), reducer_(model.parameters(), comm) {
  if (optimizer_.on_device()) loss_ = comm_.allocate(1);
}

ControlWord TrainStep::agree(std::span<const data::Batch> micro_batches, ControlWord wish) {
  enum { kStop, kSave, kSamples, kTokens, kPairs, kTargets };
  const size_t terms = model_.model().target_counts(data::Batch{}).size();
  std::vector<int64_t> sums(kTargets + terms);
  sums[kStop] = wish.stop ? 1 : 0;
  sums[kSave] = wish.save ? 1 : 0;
  for (const data::Batch& batch : micro_batches) {
    sums[kSamples] += batch.size();
    sums[kTokens] += batch.tokens();
    sums[kPairs] += batch.pairs();
    const std::vector<int64_t> counts = model_.model().target_counts(batch);
    for (size_t term = 0; term < terms; ++term) sums[kTargets + term] += counts[term];
  }
  comm_.all_reduce_sum(std::span<int64_t>(sums));
  samples_ = sums[kSamples];
  tokens_ = sums[kTokens];
  pairs_ = sums[kPairs];
  targets_.assign(sums.begin() + kTargets, sums.end());
  for (int64_t& count : targets_) count = std::max<int64_t>(1, count);  // a term without targets has a sum of zero
  return {.stop = sums[kStop] > 0, .save = sums[kSave] > 0};
}

void TrainStep::forward_backward(std::span<const data::Batch> micro_batches, int64_t step) {
  const ForwardContext context{.training = true,
                               .seed = options_.seed,
                               .step = step,
                               .compute_type = compute_type(options_.model_options.precision),
                               .gradient_checkpointing = options_.model_options.gradient_checkpointing};
  const std::vector<float> counts(targets_.begin(), targets_.end());
  const at::Tensor targets = uploaded(std::span<const float>(counts), comm_.device());
  losses_ = at::zeros({std::ssize(micro_batches)}, targets.options());
  sample_ids_.clear();
  if (micro_batches.empty()) start_sum_of_losses();
  for (size_t i = 0; i < micro_batches.size(); ++i) {
    const bool last = i + 1 == micro_batches.size();
    reducer_.set_last(last);
    sample_ids_.push_back(micro_batches[i].sample_ids);
    const auto advice = [&] {
      reducer_.set_last(false);
      return advice_for(model_, options_, micro_batches[i], comm_.device());
    };
    with_memory_for(micro_batches[i], advice, [&] {
      const DeviceBatch batch = to_device(micro_batches[i], comm_.device());
      const at::Tensor share = [&] {
        const trace::Range range("forward");
        const std::vector<at::Tensor> logits = model_.model().logits(batch, context);
        return (model_.model().loss_sums(logits, batch, options_.model_options.label_smoothing_factor) / targets).sum();
      }();
      losses_[static_cast<int64_t>(i)].copy_(share.detach());
      if (last) start_sum_of_losses();
      const trace::Range range("backward");
      share.backward(optimizer_.loss_scale());
    });
  }
}

void TrainStep::start_sum_of_losses() {
  if (!optimizer_.on_device()) return;
  loss_.copy_(losses_.sum(at::kDouble));
  loss_ticket_ = comm_.start_all_reduce(loss_);
}

StepResult TrainStep::run(std::span<const data::Batch> micro_batches, int64_t step, double lr) {
  reducer_.begin(touched_rows(micro_batches));
  forward_backward(micro_batches, step);
  reducer_.finish();
  const trace::Range range("optimizer");
  StepResult result = optimizer_.on_device() ? update_on_device(lr) : update_from_host(lr);
  result.samples = samples_;
  result.tokens = tokens_;
  result.pairs = pairs_;
  return result;
}

StepResult TrainStep::update_from_host(double lr) {
  double loss = 0;
  for (int64_t i = 0; i < losses_.numel(); ++i) loss += losses_[i].item<double>();
  comm_.all_reduce_sum(std::span<double>(&loss, 1));
  const double norm = optimizer_.gradient_norm(reducer_.touched_rows());
  const bool finite = std::isfinite(norm) && std::isfinite(loss);
  if (finite) {
    optimizer_.step(lr, norm, reducer_.touched_rows());
    model_.parameters().refresh_compute_copy();
  }
  return {.loss = loss, .grad_norm = norm, .finite = finite};
}

StepResult TrainStep::update_on_device(double lr) {
  comm_.wait(loss_ticket_);
  optimizer_.start(lr, loss_, reducer_.touched());
  const kernels::StepScalars scalars = optimizer_.finish();
  return {.loss = scalars.loss,
          .grad_norm = scalars.norm,
          .finite = scalars.finite != 0,
          .overflowed = scalars.overflowed != 0,
          .loss_scale = scalars.loss_scale};
}

std::string TrainStep::culprit() const {
  std::string own;
  const at::Tensor losses = losses_.cpu();
  for (size_t i = 0; i < sample_ids_.size() && own.empty(); ++i) {
    const float loss = losses.const_data_ptr<float>()[i];
    if (!std::isfinite(loss)) own = concat("micro-batch ", i, ", loss ", loss, ", samples ", joined(sample_ids_[i]));
  }
  const auto all = comm_.all_gather(own);
  for (size_t rank = 0; rank < all.size(); ++rank)
    if (!all[rank].empty()) return concat("rank ", rank, ", ", all[rank]);
  return "every rank's loss is finite: the gradient overflowed in backward or in the sum over ranks";
}

}  // namespace berth::train
