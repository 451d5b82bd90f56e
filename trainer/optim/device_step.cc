#include "trainer/optim/device_step.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include <cstddef>
#include <cstring>

#include "data/check.h"

namespace berth::train {
namespace {

using kernels::StepScalars;

constexpr int64_t kGroup = 16;  // what slots of a bucket are aligned to, in elements

const OptimizerKernels& kernels_for(at::Device device) {
  const OptimizerKernels* kernels = optimizer_kernels(device.type());
  check_internal(kernels != nullptr, "this program has no optimizer for ", device.str());
  return *kernels;
}

bool trainable(const Bucket& bucket) { return bucket.grads.defined(); }

kernels::AdamWNumbers numbers(const AdamWOptions& o, double lr, bool scaled, bool halts) {
  return {lr, o.weight_decay, o.beta1, o.beta2, o.epsilon, o.max_grad_norm, scaled ? kScaleGrowthInterval : 0, halts};
}

// A member of the StepScalars in `scalars`: a number.
at::Tensor member(const at::Tensor& scalars, size_t offset, at::ScalarType type) {
  return scalars.view(type).select(0, static_cast<int64_t>(offset / c10::elementSize(type)));
}

}  // namespace

DeviceStep::DeviceStep(ParameterStore& parameters, const std::vector<Moments>& moments, const AdamWOptions& options)
    : parameters_(parameters),
      moments_(moments),
      options_(options),
      device_(parameters.buckets().front().values.device()),
      kernels_(kernels_for(device_)) {
  int64_t of_all = 0;
  for (const Bucket& bucket : parameters_.buckets()) {
    add_flags(bucket);
    if (trainable(bucket)) (bucket.is_cut() ? of_a_rank_ : of_all) += kernels_.partial_sums(bucket.part_size);
  }
  const auto of_device = at::TensorOptions(device_);
  partials_ = at::empty({of_a_rank_ * parameters_.comm().size() + of_all}, of_device.dtype(at::kDouble));
  static_assert(sizeof(StepScalars) % sizeof(int64_t) == 0);
  constexpr int64_t kWords = sizeof(StepScalars) / sizeof(int64_t);
  scalars_ = at::zeros({kWords}, of_device.dtype(at::kLong));
  for (Report& report : reports_) {
    report.scalars = at::empty({kWords}, at::TensorOptions().dtype(at::kLong).pinned_memory(!device_.is_cpu()));
    if (!device_.is_cpu()) report.done.emplace(device_.type());
  }
}

void DeviceStep::add_flags(const Bucket& bucket) {
  Flags& flags = flags_.emplace_back();
  if (!trainable(bucket)) return;
  const int64_t n = bucket.values.numel();
  const Parameter& first = parameters_.parameters()[static_cast<size_t>(bucket.parameters[0])];
  if (bucket.kind == GradKind::kRows) {  // a row each; none has moments yet
    flags.group = first.value.size(1);
    table_decays_ = first.decay;
    const uint8_t flag = first.decay ? kernels::kDecays : 0;
    flags.of_groups = at::full({(n + flags.group - 1) / flags.group}, flag, at::TensorOptions(device_).dtype(at::kByte));
    return;
  }
  flags.group = kGroup;
  at::Tensor host = at::full({(n + kGroup - 1) / kGroup}, kernels::kHasMoments, at::kByte);
  for (int index : bucket.parameters) {
    const Parameter& parameter = parameters_.parameters()[static_cast<size_t>(index)];
    check_internal(parameter.offset % kGroup == 0, "the slot of ", parameter.name, " is not aligned");
    const int64_t begin = parameter.offset / kGroup, end = (parameter.offset + parameter.value.numel() + kGroup - 1) / kGroup;
    if (parameter.decay) host.slice(0, begin, end).bitwise_or_(kernels::kDecays);
  }
  flags.of_groups = host.narrow(0, bucket.part_begin / kGroup, (bucket.part_size + kGroup - 1) / kGroup).to(device_);
}

void DeviceStep::start(double lr, const at::Tensor& loss, const TouchedRows& touched, bool halts) {
  at::NoGradGuard no_grad;
  check_internal(started_ - finished_ < kMostStarted, "a step is started before the one that has its report's place is finished");
  comm::Communicator& comm = parameters_.comm();
  int64_t own = comm.rank() * of_a_rank_, partials = comm.size() * of_a_rank_;
  for (size_t b = 0; b < flags_.size(); ++b) {
    const Bucket& bucket = parameters_.buckets()[b];
    if (!trainable(bucket)) continue;
    const bool rows = bucket.kind == GradKind::kRows;
    // A row that only steps that were not finite have touched still has moments of zero, and the update is the same for it.
    if (rows) flags_[b].of_groups.index_fill_(0, touched.index, row_flag());
    const at::Tensor grads = rows ? touched.grads : bucket.part(bucket.grads);
    const int64_t count = kernels_.partial_sums(grads.numel());
    int64_t& at = bucket.is_cut() ? own : partials;
    kernels_.sum_squares(grads, partials_.narrow(0, at, count));
    at += count;
  }
  if (of_a_rank_ > 0) comm.all_gather(partials_.narrow(0, 0, comm.size() * of_a_rank_));
  const kernels::AdamWNumbers given = numbers(options_, lr, loss_scale_.defined(), halts);
  kernels_.decide(partials_.narrow(0, 0, partials), loss, given, scalars_);
  for (size_t b = 0; b < flags_.size(); ++b) {
    const Bucket& bucket = parameters_.buckets()[b];
    if (!trainable(bucket)) continue;
    // What is cut gets its copy with the other ranks' values.
    kernels_.update({bucket.part(bucket.values), bucket.part(bucket.grads), moments_[b].first, moments_[b].second,
                     bucket.is_cut() ? at::Tensor() : bucket.compute_values, flags_[b].of_groups, flags_[b].group},
                    given, scalars_);
  }
  parameters_.gather_values();
  Report& report = reports_[static_cast<size_t>(started_++ % kMostStarted)];
  report.scalars.copy_(scalars_, /*non_blocking=*/true);
  if (report.done) report.done->record(current_stream());
}

StepScalars DeviceStep::finish() {
  check_internal(finished_ < started_, "no step is under way");
  Report& report = reports_[static_cast<size_t>(finished_++ % kMostStarted)];
  if (report.done) report.done->synchronize();
  StepScalars scalars{};
  std::memcpy(&scalars, report.scalars.const_data_ptr(), sizeof(scalars));
  return scalars;
}

void DeviceStep::restored(int64_t updates) {
  member(scalars_, offsetof(StepScalars, updates), at::kLong).fill_(updates);
  for (size_t b = 0; b < flags_.size(); ++b) {
    const Bucket& bucket = parameters_.buckets()[b];
    if (!trainable(bucket) || bucket.kind != GradKind::kRows) continue;
    const Parameter& table = parameters_.parameters()[static_cast<size_t>(bucket.parameters[0])];
    const auto used = [&](const at::Tensor& flat) {
      return flat.narrow(0, table.offset, table.value.numel()).view(table.value.sizes()).ne(0).any(1);
    };
    const at::Tensor rows = used(moments_[b].first).logical_or(used(moments_[b].second)).nonzero().flatten();
    flags_[b].of_groups.index_fill_(0, rows, row_flag());
  }
}

void DeviceStep::scale_loss(const LossScale& first) {
  constexpr size_t kAt = offsetof(StepScalars, loss_scale);
  loss_scale_ = member(scalars_, kAt + offsetof(LossScale, scale), at::kFloat).fill_(first.scale);
  member(scalars_, kAt + offsetof(LossScale, updates), at::kInt).fill_(first.updates);
}

c10::Stream DeviceStep::current_stream() const { return c10::impl::VirtualGuardImpl(device_.type()).getStream(device_); }

}  // namespace berth::train
