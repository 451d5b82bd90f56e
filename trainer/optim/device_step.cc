#include "trainer/optim/device_step.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "data/check.h"

namespace berth::train {
namespace {

using kernels::StepPlan;
using kernels::StepScalars;

constexpr int64_t kGroup = 16;  // what slots of a bucket are aligned to, in elements

const OptimizerKernels& kernels_for(at::Device device) {
  const OptimizerKernels* kernels = optimizer_kernels(device.type());
  check_internal(kernels != nullptr, "this program has no optimizer for ", device.str());
  return *kernels;
}

bool trainable(const Bucket& bucket) { return bucket.grads.defined(); }

kernels::AdamWNumbers numbers(const AdamWOptions& o, std::span<const double> rates, bool scaled, bool halts) {
  kernels::AdamWNumbers numbers{.rates = {},
                                .weight_decay = o.weight_decay,
                                .beta1 = o.beta1,
                                .beta2 = o.beta2,
                                .epsilon = o.epsilon,
                                .max_grad_norm = o.max_grad_norm,
                                .scale_growth_interval = scaled ? kScaleGrowthInterval : 0,
                                .halts = halts,
                                .ema_decay = o.ema_decay};
  std::copy(rates.begin(), rates.end(), numbers.rates);
  return numbers;
}

constexpr int64_t kReportWords = sizeof(StepScalars) / sizeof(int64_t), kPlanWords = sizeof(StepPlan) / sizeof(int64_t);
static_assert(sizeof(StepScalars) % sizeof(int64_t) == 0 && sizeof(StepPlan) % sizeof(int64_t) == 0);

// A member of the StepScalars in `plan`: a number.
at::Tensor member(const at::Tensor& plan, size_t offset, at::ScalarType type) {
  return plan.view(type).select(0, static_cast<int64_t>(offset / c10::elementSize(type)));
}

}  // namespace

DeviceStep::DeviceStep(ParameterStore& parameters, const std::vector<Moments>& moments, const RateGroups& groups,
                       const AdamWOptions& options)
    : parameters_(parameters),
      moments_(moments),
      groups_(groups),
      options_(options),
      device_(parameters.buckets().front().values.device()),
      kernels_(kernels_for(device_)) {
  check_internal(!parameters_.shares_values(), "values that ranks share are updated by the CPU's optimizer");
  int64_t of_all = 0;
  for (const Bucket& bucket : parameters_.buckets()) {
    add_flags(bucket);
    if (trainable(bucket)) (bucket.is_cut ? of_a_rank_ : of_all) += kernels_.partial_sums(bucket.part_size);
  }
  const auto of_device = at::TensorOptions(device_);
  partials_ = at::empty({of_a_rank_ * parameters_.comm().size() + of_all}, of_device.dtype(at::kDouble));
  if (options_.optim == Optim::kLamb) lamb_.emplace(parameters_, kernels_);
  plan_ = at::zeros({kPlanWords}, of_device.dtype(at::kLong));
  for (Report& report : reports_) {
    report.scalars = at::empty({kReportWords}, at::TensorOptions().dtype(at::kLong).pinned_memory(!device_.is_cpu()));
    if (!device_.is_cpu()) report.done.emplace(device_.type());
  }
}

void DeviceStep::add_flags(const Bucket& bucket) {
  Flags& flags = flags_.emplace_back();
  if (!trainable(bucket)) return;
  const int64_t n = bucket.values.numel();
  const auto flag_of = [&](const Parameter& parameter) {
    const int rate = groups_.of_parameter[static_cast<size_t>(parameter.index)] << kernels::kRateShift;
    return static_cast<uint8_t>(rate | (parameter.decay ? kernels::kDecays : 0));
  };
  if (bucket.kind == GradKind::kRows) {  // a row each; none has moments yet
    const Parameter& table = parameters_.parameters()[static_cast<size_t>(bucket.parameters[0])];
    flags.group = table.value.size(1);
    row_flag_ = flag_of(table) | kernels::kHasMoments;
    flags.of_groups =
        at::full({(n + flags.group - 1) / flags.group}, flag_of(table), at::TensorOptions(device_).dtype(at::kByte));
    return;
  }
  flags.group = kGroup;
  at::Tensor host = at::full({(n + kGroup - 1) / kGroup}, kernels::kHasMoments, at::kByte);
  for (int index : bucket.parameters) {
    const Parameter& parameter = parameters_.parameters()[static_cast<size_t>(index)];
    check_internal(parameter.offset % kGroup == 0, "the slot of ", parameter.name, " is not aligned");
    const int64_t begin = parameter.offset / kGroup, end = (parameter.offset + parameter.value.numel() + kGroup - 1) / kGroup;
    host.slice(0, begin, end).bitwise_or_(flag_of(parameter));
  }
  flags.of_groups = host.narrow(0, bucket.part_begin / kGroup, (bucket.part_size + kGroup - 1) / kGroup).to(device_);
}

void DeviceStep::start(std::span<const double> rates, const at::Tensor& loss, const TouchedRows& touched, bool halts) {
  at::NoGradGuard no_grad;
  check_internal(started_ - finished_ < kMostStarted, "a step is started before the one that has its report's place is finished");
  comm::Communicator& comm = parameters_.comm();
  int64_t own = comm.rank() * of_a_rank_, partials = comm.size() * of_a_rank_;
  for (size_t b = 0; b < flags_.size(); ++b) {
    const Bucket& bucket = parameters_.buckets()[b];
    if (!trainable(bucket)) continue;
    const bool rows = bucket.kind == GradKind::kRows;
    // A row that only steps that were not finite have touched still has moments of zero, and the update is the same for it.
    if (rows) flags_[b].of_groups.index_fill_(0, touched.index, row_flag_);
    const at::Tensor grads = rows ? touched.grads : bucket.part(bucket.grads);
    const int64_t count = kernels_.partial_sums(grads.numel());
    int64_t& at = bucket.is_cut ? own : partials;
    kernels_.sum_squares(grads, partials_.narrow(0, at, count));
    at += count;
  }
  if (of_a_rank_ > 0) comm.wait(comm.start_all_gather(partials_.narrow(0, 0, comm.size() * of_a_rank_)));
  const kernels::AdamWNumbers given = numbers(options_, rates, loss_scale_.defined(), halts);
  kernels_.decide(partials_.narrow(0, 0, partials), loss, given, plan_);
  const std::vector<OptimizerKernels::Bucket> parts = this_ranks_parts();
  if (lamb_) lamb_->update(parts, given, plan_);
  for (size_t b = parts.size(); b-- > 0;) {
    if (!lamb_ && parts[b].values.defined()) kernels_.update(parts[b], given, plan_);
    parameters_.start_gather(b);
  }
  parameters_.end_update();
  Report& report = reports_[static_cast<size_t>(started_++ % kMostStarted)];
  report.scalars.copy_(plan_.narrow(0, 0, kReportWords), /*non_blocking=*/true);
  if (report.done) report.done->record(current_stream());
}

std::vector<OptimizerKernels::Bucket> DeviceStep::this_ranks_parts() const {
  std::vector<OptimizerKernels::Bucket> parts(flags_.size());
  for (size_t b = 0; b < flags_.size(); ++b) {
    const Bucket& bucket = parameters_.buckets()[b];
    if (!trainable(bucket)) continue;
    // What is cut gets its copy with the other ranks' values.
    parts[b] = {.values = bucket.part(bucket.values),
                .grads = bucket.part(bucket.grads),
                .first = moments_[b].first,
                .second = moments_[b].second,
                .copy = bucket.is_cut ? at::Tensor() : bucket.compute_values,
                .flags = flags_[b].of_groups,
                .group = flags_[b].group,
                .average = moments_[b].average};
  }
  return parts;
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
  member(plan_, offsetof(StepScalars, updates), at::kLong).fill_(updates);
  for (size_t b = 0; b < flags_.size(); ++b) {
    const Bucket& bucket = parameters_.buckets()[b];
    if (!trainable(bucket) || bucket.kind != GradKind::kRows) continue;
    const Parameter& table = parameters_.parameters()[static_cast<size_t>(bucket.parameters[0])];
    const auto used = [&](const at::Tensor& flat) {
      return flat.narrow(0, table.offset, table.value.numel()).view(table.value.sizes()).ne(0).any(1);
    };
    const at::Tensor rows = used(moments_[b].first).logical_or(used(moments_[b].second)).nonzero().flatten();
    flags_[b].of_groups.index_fill_(0, rows, row_flag_);
  }
}

void DeviceStep::scale_loss(const LossScale& first) {
  constexpr size_t kAt = offsetof(StepScalars, loss_scale);
  loss_scale_ = member(plan_, kAt + offsetof(LossScale, scale), at::kFloat).fill_(first.scale);
  member(plan_, kAt + offsetof(LossScale, updates), at::kInt).fill_(first.updates);
}

c10::Stream DeviceStep::current_stream() const { return c10::impl::VirtualGuardImpl(device_.type()).getStream(device_); }

}  // namespace berth::train
