#include "trainer/run/train_step.h"

#include <bit>
#include <cmath>

#include "data/check.h"
#include "data/words.h"
#include "trainer/model/out_of_memory.h"
#include "trainer/model/upload.h"
#include "trainer/run/micro_batch.h"
#include "trainer/trace/range.h"

namespace berth::train {

TrainStep::TrainStep(ModelInstance& model, AdamW& optimizer, comm::Communicator& comm, const TrainOptions& options)
    : model_(model), optimizer_(optimizer), comm_(comm), options_(options), reducer_(model.parameters(), comm) {
  if (optimizer_.on_device()) loss_ = comm_.allocate(1);
}

// One all-reduce for all of it: the words of a bitwise or are the rows, and counts of which each rank has its own.
ControlWord TrainStep::agree(StepData data, ControlWord wish) {
  enum { kStop, kSave, kSamples, kTokens, kPairs, kTargets };
  const size_t terms = data.targets.size(), counts = kTargets + terms;
  std::vector<uint64_t> words = std::move(data.rows.words());
  const size_t first = words.size();
  words.resize(first + counts * static_cast<size_t>(comm_.size()), 0);
  const auto word = [&](int rank, size_t count) -> uint64_t& {
    return words[first + static_cast<size_t>(rank) * counts + count];
  };
  const int own = comm_.rank();
  word(own, kStop) = wish.stop ? 1 : 0;
  word(own, kSave) = wish.save ? 1 : 0;
  word(own, kSamples) = static_cast<uint64_t>(data.samples);
  word(own, kTokens) = static_cast<uint64_t>(data.tokens);
  word(own, kPairs) = static_cast<uint64_t>(data.pairs);
  for (size_t term = 0; term < terms; ++term) word(own, kTargets + term) = std::bit_cast<uint64_t>(data.targets[term]);
  comm_.all_reduce_or(words);
  std::vector<int64_t> sums(kTargets, 0);
  targets_.assign(terms, 0);
  for (int rank = 0; rank < comm_.size(); ++rank) {
    for (size_t count = 0; count < kTargets; ++count) sums[count] += static_cast<int64_t>(word(rank, count));
    for (size_t term = 0; term < terms; ++term) targets_[term] += std::bit_cast<double>(word(rank, kTargets + term));
  }
  words.resize(first);
  data.rows.words() = std::move(words);
  for (double& weight : targets_)
    if (weight == 0) weight = 1;  // a term without targets has a sum of zero
  agreed_.emplace(std::move(data), StepResult{.samples = sums[kSamples], .tokens = sums[kTokens], .pairs = sums[kPairs]},
                  at::Tensor());
  return {.stop = sums[kStop] > 0, .save = sums[kSave] > 0};
}

void TrainStep::forward_backward(int64_t step, Step& made) {
  const ForwardContext context{.training = true,
                               .seed = options_.seed,
                               .step = step,
                               .compute_type = compute_type(options_.model_options.precision),
                               .gradient_checkpointing = options_.model_options.gradient_checkpointing};
  const std::vector<float> counts(targets_.begin(), targets_.end());
  const at::Tensor targets = uploaded(std::span<const float>(counts), comm_.device());
  const std::vector<MicroBatch>& micro_batches = made.data.micro_batches;
  made.losses = at::zeros({std::ssize(micro_batches)}, targets.options());
  if (micro_batches.empty()) start_sum_of_losses(made.losses);
  for (size_t i = 0; i < micro_batches.size(); ++i) {
    const bool last = i + 1 == micro_batches.size();
    reducer_.set_last(last);
    const data::Batch& host = micro_batches[i].batch;
    const auto advice = [&] {
      reducer_.set_last(false);
      return advice_for(model_, options_, host, comm_.device());
    };
    with_memory_for(host, advice, [&] {
      const DeviceBatch& batch = micro_batches[i].upload.arrived();
      const at::Tensor share = [&] {
        const trace::Range range("forward");
        const std::vector<at::Tensor> logits = model_.model().logits(batch, context);
        return (model_.model().loss_sums(logits, batch) / targets).sum();
      }();
      made.losses[static_cast<int64_t>(i)].copy_(share.detach());
      if (last) start_sum_of_losses(made.losses);
      const trace::Range range("backward");
      share.backward(optimizer_.loss_scale());
    });
  }
}

void TrainStep::start_sum_of_losses(const at::Tensor& losses) {
  if (!optimizer_.on_device()) return;
  loss_.copy_(losses.sum(at::kDouble));
  loss_ticket_ = comm_.start_all_reduce(loss_);
}

void TrainStep::start(int64_t step, std::span<const double> rates) {
  check_internal(agreed_.has_value(), "a step is started that was not agreed on");
  check_internal(under_way() <= most_under_way(), "a step is started before the step two before it is finished");
  Step& made = under_way_.emplace_back(std::move(*agreed_));
  agreed_.reset();
  reducer_.begin(made.data.rows);
  forward_backward(step, made);
  reducer_.finish();
  const trace::Range range("optimizer");
  if (optimizer_.on_device())
    update_on_device(rates);
  else
    update_from_host(rates, made);
}

StepResult TrainStep::finish() {
  check_internal(!under_way_.empty(), "no step is under way");
  finished_ = std::move(under_way_.front());
  under_way_.pop_front();
  if (optimizer_.on_device()) {
    const kernels::StepScalars scalars = optimizer_.finish();
    StepResult& result = finished_->result;
    result.loss = scalars.loss;
    result.grad_norm = scalars.norm;
    result.finite = scalars.finite != 0;
    result.overflowed = scalars.overflowed != 0;
    result.loss_scale = scalars.loss_scale;
  }
  return finished_->result;
}

void TrainStep::update_from_host(std::span<const double> rates, Step& made) {
  double loss = 0;
  for (int64_t i = 0; i < made.losses.numel(); ++i) loss += made.losses[i].item<double>();
  comm_.all_reduce_sum(std::span<double>(&loss, 1));
  const double norm = optimizer_.gradient_norm(reducer_.touched_rows());
  const bool finite = std::isfinite(norm) && std::isfinite(loss);
  if (finite) {
    optimizer_.step(rates, norm, reducer_.touched_rows());
    model_.parameters().refresh_compute_copy();
  }
  made.result.loss = loss;
  made.result.grad_norm = norm;
  made.result.finite = finite;
}

void TrainStep::update_on_device(std::span<const double> rates) {
  comm_.wait(loss_ticket_);
  optimizer_.start(rates, loss_, reducer_.touched(), /*halts=*/options_.on_nan == OnNan::kStop);
}

std::string TrainStep::culprit() const {
  std::string own;
  const at::Tensor losses = finished_->losses.cpu();
  const std::vector<MicroBatch>& micro_batches = finished_->data.micro_batches;
  for (size_t i = 0; i < micro_batches.size() && own.empty(); ++i) {
    const float loss = losses.const_data_ptr<float>()[i];
    if (!std::isfinite(loss))
      own = concat("micro-batch ", i, ", loss ", loss, ", samples ", joined(micro_batches[i].batch.sample_ids));
  }
  const auto all = comm_.all_gather(own);
  for (size_t rank = 0; rank < all.size(); ++rank)
    if (!all[rank].empty()) return concat("rank ", rank, ", ", all[rank]);
  return "every rank's loss is finite: the gradient overflowed in backward or in the sum over ranks";
}

}  // namespace berth::train
