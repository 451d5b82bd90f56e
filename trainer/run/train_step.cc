#include "trainer/run/train_step.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>

#include "data/check.h"
#include "data/files/failpoint.h"
#include "data/words.h"
#include "trainer/comm/agree.h"
#include "trainer/model/out_of_memory.h"
#include "trainer/model/upload.h"
#include "trainer/run/micro_batch.h"
#include "trainer/trace/range.h"

namespace berth::train {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point then) { return std::chrono::duration<double>(Clock::now() - then).count(); }

}  // namespace

DeviceTime::DeviceTime(at::Device device)
    : device_(device),
      begin_(device.type(), c10::EventFlag::BACKEND_DEFAULT),
      end_(device.type(), c10::EventFlag::BACKEND_DEFAULT) {
  begin_.record(c10::impl::VirtualGuardImpl(device_.type()).getStream(device_));
}

void DeviceTime::stop() { end_.record(c10::impl::VirtualGuardImpl(device_.type()).getStream(device_)); }

TrainStep::TrainStep(ModelInstance& model, AdamW& optimizer, comm::Communicator& comm, const TrainOptions& options)
    : model_(model),
      optimizer_(optimizer),
      comm_(comm),
      options_(options),
      reducer_(model.parameters(), comm),
      hidden_before_(comm.seconds_hidden()) {
  if (optimizer_.on_device()) loss_ = comm_.allocate(1);
}

// One all-reduce for all of it: the words of a bitwise or are the rows, and counts of which each rank has its own.
ControlWord TrainStep::agree(StepData data, ControlWord wish) {
  reading_ = seconds_since(began_);
  lap(phases_.data);
  enum { kStop, kSave, kFailed, kSamples, kTokens, kPairs, kSeconds, kTargets };
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
  word(own, kFailed) = data.failure ? 1 : 0;
  word(own, kSamples) = static_cast<uint64_t>(data.samples);
  word(own, kTokens) = static_cast<uint64_t>(data.tokens);
  word(own, kPairs) = static_cast<uint64_t>(data.pairs);
  word(own, kSeconds) = std::bit_cast<uint64_t>(own_seconds_);
  for (size_t term = 0; term < terms; ++term) word(own, kTargets + term) = std::bit_cast<uint64_t>(data.targets[term]);
  comm_.all_reduce_or(words);
  std::vector<int64_t> sums(kSeconds, 0);
  std::vector<double> targets(terms, 0);
  parts_of_ranks_.clear();
  for (int rank = 0; rank < comm_.size(); ++rank) {
    for (size_t count = 0; count < kSeconds; ++count) sums[count] += static_cast<int64_t>(word(rank, count));
    parts_of_ranks_.push_back({std::bit_cast<double>(word(rank, kSeconds)), static_cast<int64_t>(word(rank, kTokens))});
    for (size_t term = 0; term < terms; ++term) targets[term] += std::bit_cast<double>(word(rank, kTargets + term));
  }
  if (sums[kFailed] > 0) {
    while (under_way() > 0) finish();
    await_values();
    comm::agree(comm_, [&] {
      if (data.failure) std::rethrow_exception(data.failure);
    });
  }
  words.resize(first);
  data.rows.words() = std::move(words);
  std::replace(targets.begin(), targets.end(), 0.0, 1.0);  // a term without targets has a sum of zero
  agreed_ = Step{std::move(data), StepResult{.samples = sums[kSamples], .tokens = sums[kTokens], .pairs = sums[kPairs]},
                 std::vector<float>(targets.begin(), targets.end()), at::Tensor()};
  lap(phases_.reduce);
  return {.stop = sums[kStop] > 0, .save = sums[kSave] > 0};
}

ForwardContext TrainStep::context(int64_t step) const {
  return {.training = true,
          .seed = options_.seed,
          .step = step,
          .compute_type = compute_type(options_.model_options.precision),
          .gradient_checkpointing = options_.model_options.gradient_checkpointing};
}

at::Tensor TrainStep::share_of(const MicroBatch& micro_batch, const ForwardContext& context, const at::Tensor& targets) {
  const trace::Range range("forward");
  data::failpoint("forward");
  const DeviceBatch& batch = micro_batch.upload.arrived();
  const std::vector<at::Tensor> logits = model_.model().logits(batch, context);
  return (model_.model().loss_sums(logits, batch) / targets).sum();
}

void TrainStep::backward(const at::Tensor& share) {
  const trace::Range range("backward");
  at::Tensor gradient = optimizer_.loss_scale();
  if (const double factor = data::failpoint_number("gradient", 1); factor != 1) gradient = at::full_like(share, factor);
  share.backward(gradient);
}

void TrainStep::forward_backward(int64_t step, Step& made) {
  const ForwardContext forward = context(step);
  const at::Tensor targets = uploaded(std::span<const float>(made.targets), comm_.device());
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
      comm_.set_stage(concat("step ", step + 1, ": forward"));
      const double waited = comm_.seconds_waited();
      const at::Tensor share = share_of(micro_batches[i], forward, targets);
      made.losses[static_cast<int64_t>(i)].copy_(share.detach());
      if (last) start_sum_of_losses(made.losses);
      lap(phases_.forward);
      const double exposed = comm_.seconds_waited() - waited;  // for the other ranks' parameters
      phases_.forward -= exposed;
      phases_.reduce += exposed;
      comm_.set_stage(concat("step ", step + 1, ": backward"));
      backward(share);
      lap(phases_.backward);
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
  lap(phases_.optimizer);
  if (comm_.size() > 1 && comm_.device().is_cuda()) made.time.emplace(comm_.device());
  forward_backward(step, made);
  if (made.time) made.time->stop();
  reducer_.finish();
  lap(phases_.reduce);
  const trace::Range range("optimizer");
  comm_.set_stage(concat("step ", step + 1, ": optimizer"));
  if (optimizer_.on_device())
    update_on_device(rates);
  else
    update_from_host(rates, made);
  lap(phases_.optimizer);
}

StepResult TrainStep::finish() {
  check_internal(!under_way_.empty(), "no step is under way");
  finished_ = std::move(under_way_.front());
  under_way_.pop_front();
  if (optimizer_.on_device()) {
    const kernels::StepScalars scalars = optimizer_.finish();
    if (finished_->time) device_seconds_ = finished_->time->seconds();
    StepResult& result = finished_->result;
    result.loss = scalars.loss;
    result.grad_norm = scalars.norm;
    result.finite = scalars.finite != 0;
    result.overflowed = scalars.overflowed != 0;
    result.loss_scale = scalars.loss_scale;
  }
  return finished_->result;
}

void TrainStep::await_values() {
  model_.parameters().await_values();
  lap(phases_.reduce);
}

void TrainStep::begin_clock() {
  began_ = lap_ = Clock::now();
  waited_before_ = comm_.seconds_waited();
}

void TrainStep::end_clock() {
  seconds_ = seconds_since(began_);
  const bool gpu = comm_.device().is_cuda();
  own_seconds_ = gpu ? std::max(reading_, device_seconds_) : seconds_ - (comm_.seconds_waited() - waited_before_);
}

void TrainStep::lap(double& phase) {
  const Clock::time_point now = Clock::now();
  phase += std::chrono::duration<double>(now - lap_).count();
  lap_ = now;
}

std::optional<StepSeconds> TrainStep::phases() const {
  if (comm_.device().is_cuda()) return std::nullopt;
  StepSeconds phases = phases_;
  phases.reduce_overlapped = comm_.seconds_hidden() - hidden_before_;
  return phases;
}

void TrainStep::update_from_host(std::span<const double> rates, Step& made) {
  double loss = 0;
  for (int64_t i = 0; i < made.losses.numel(); ++i) loss += made.losses[i].item<double>();
  comm_.all_reduce_sum(std::span<double>(&loss, 1));
  lap(phases_.reduce);
  const double norm = optimizer_.gradient_norm(reducer_.touched_rows());
  const bool finite = std::isfinite(norm) && std::isfinite(loss);
  if (finite) optimizer_.step(rates, norm, reducer_.touched_rows());
  made.result.loss = loss;
  made.result.grad_norm = norm;
  made.result.finite = finite;
}

void TrainStep::update_on_device(std::span<const double> rates) {
  comm_.wait(loss_ticket_);
  optimizer_.start(rates, loss_, reducer_.touched(), /*halts=*/options_.on_nan == OnNan::kStop);
}

std::string TrainStep::loss_not_finite() const {
  const at::Tensor losses = finished_->losses.cpu();
  const std::vector<MicroBatch>& micro_batches = finished_->data.micro_batches;
  for (size_t i = 0; i < micro_batches.size(); ++i) {
    const float loss = losses.const_data_ptr<float>()[i];
    if (!std::isfinite(loss))
      return concat("micro-batch ", i, ", loss ", loss, ", samples ", joined(micro_batches[i].batch.sample_ids));
  }
  return "";
}

std::string TrainStep::gradient_not_finite(int64_t step) {
  reducer_.begin(finished_->data.rows);
  const at::Tensor targets = uploaded(std::span<const float>(finished_->targets), comm_.device());
  const std::vector<MicroBatch>& micro_batches = finished_->data.micro_batches;
  for (size_t i = 0; i < micro_batches.size(); ++i) {
    backward(share_of(micro_batches[i], context(step), targets));
    for (const Parameter& parameter : model_.parameters().parameters())
      if (parameter.grad.defined() && !parameter.grad.isfinite().all().item<bool>())
        return concat("micro-batch ", i, ", the gradient of ", parameter.name, ", samples ",
                      joined(micro_batches[i].batch.sample_ids));
  }
  return "";
}

std::string TrainStep::culprit(int64_t step) {
  const auto first_of = [this](const std::string& own) -> std::string {
    const auto all = comm_.all_gather(own);
    for (size_t rank = 0; rank < all.size(); ++rank)
      if (!all[rank].empty()) return concat("rank ", rank, ", ", all[rank]);
    return "";
  };
  std::string found = first_of(loss_not_finite());
  if (found.empty()) found = first_of(gradient_not_finite(step));
  return !found.empty()
             ? found
             : "the loss of every rank is finite, and so is its gradient when it is computed again: the sum over ranks "
               "overflowed, or a device or its memory has erred";
}

}  // namespace berth::train
