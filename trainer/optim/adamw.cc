#include "trainer/optim/adamw.h"

#include <algorithm>
#include <cmath>

#include "data/check.h"
#include "trainer/optim/adamw_kernels.h"

namespace berth::train {
namespace {

constexpr int64_t kChunk = 16384;  // elements a task; fixed, so that sums do not depend on the number of threads

// Sum of squares of x[0, n), chunk by chunk.
double sum_of_squares(const float* x, int64_t n) {
  const int64_t chunks = (n + kChunk - 1) / kChunk;
  std::vector<double> partial(static_cast<size_t>(chunks));
  at::parallel_for(0, chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c)
      partial[static_cast<size_t>(c)] = kernels::sum_of_squares(x + c * kChunk, std::min(kChunk, n - c * kChunk));
  });
  double sum = 0;
  for (double p : partial) sum += p;
  return sum;
}

bool trainable(const Bucket& bucket) { return bucket.grads.defined(); }

}  // namespace

void AdamWOptions::validate() const {
  check_usage(learning_rate >= 0 && std::isfinite(learning_rate), "--learning-rate must be a number from 0 on, got ",
              learning_rate);
  check_usage(weight_decay >= 0 && std::isfinite(weight_decay), "--weight-decay must be a number from 0 on, got ", weight_decay);
  check_usage(beta1 >= 0 && beta1 < 1, "--adam-beta1 must lie in [0, 1), got ", beta1);
  check_usage(beta2 >= 0 && beta2 < 1, "--adam-beta2 must lie in [0, 1), got ", beta2);
  check_usage(epsilon > 0 && std::isfinite(epsilon), "--adam-epsilon must be positive, got ", epsilon);
  check_usage(max_grad_norm >= 0 && std::isfinite(max_grad_norm), "--max-grad-norm must be positive, or 0 for no clipping; got ",
              max_grad_norm);
}

AdamW::AdamW(ParameterStore& parameters, AdamWOptions options) : parameters_(parameters), options_(options) {
  for (const Bucket& bucket : parameters_.buckets()) {
    Moments moments;
    if (trainable(bucket)) moments = {at::zeros_like(bucket.part(bucket.values)), at::zeros_like(bucket.part(bucket.values))};
    moments_.push_back(moments);
  }
  const at::Device device = parameters_.buckets().front().values.device();
  if (!device.is_cpu() || optimizer_kernels(device.type()) != nullptr) {
    device_.emplace(parameters_, moments_, options_);
    return;
  }
  for (const Bucket& bucket : parameters_.buckets()) {
    if (trainable(bucket) && bucket.kind == GradKind::kRows) {
      check_internal(ever_touched_.empty() && bucket.parameters.size() == 1, "more than one embedding table with row gradients");
      ever_touched_.assign(static_cast<size_t>(parameters_.parameters()[bucket.parameters[0]].value.size(0)), 0);
    }
  }
}

double AdamW::gradient_norm(std::span<const int32_t> touched) {
  double sum = 0, of_parts = 0;
  for (const Bucket& bucket : parameters_.buckets()) {
    if (!trainable(bucket)) continue;
    if (bucket.kind == GradKind::kRows) {
      const Parameter& table = parameters_.parameters()[bucket.parameters[0]];
      const int64_t width = table.value.size(1);
      const float* grad = bucket.grads.const_data_ptr<float>() + table.offset;
      for (int32_t row : touched) sum += kernels::sum_of_squares(grad + row * width, width);
    } else {
      (bucket.is_cut() ? of_parts : sum) +=
          sum_of_squares(bucket.grads.const_data_ptr<float>() + bucket.part_begin, bucket.part_size);
    }
  }
  if (parameters_.is_cut()) parameters_.comm().all_reduce_sum(std::span<double>(&of_parts, 1));
  return std::sqrt(sum + of_parts);
}

void AdamW::start(double lr, const at::Tensor& loss, const TouchedRows& touched, bool halts) {
  device_->start(lr, loss, touched, halts);
}

kernels::StepScalars AdamW::finish() {
  const kernels::StepScalars scalars = device_->finish();
  steps_ = scalars.updates;
  return scalars;
}

void AdamW::step(double lr, double norm, std::span<const int32_t> touched) {
  at::NoGradGuard no_grad;
  ++steps_;
  const double limit = options_.max_grad_norm;
  const double scale = limit > 0 ? std::min(1.0, limit / (norm + 1e-6)) : 1.0;
  for (size_t b = 0; b < moments_.size(); ++b) {
    const Bucket& bucket = parameters_.buckets()[b];
    if (!trainable(bucket)) continue;
    for (int index : bucket.parameters) {
      const Parameter& parameter = parameters_.parameters()[static_cast<size_t>(index)];
      if (bucket.kind == GradKind::kRows)
        update_rows(bucket, moments_[b], parameter, lr, scale, touched);
      else
        update_slot(bucket, moments_[b], parameter, lr, scale);
    }
  }
  parameters_.gather_values();
}

namespace {

kernels::AdamWScalars scalars(const AdamWOptions& o, bool decay, int64_t t, double lr, double scale) {
  const double correction1 = 1 - std::pow(o.beta1, static_cast<double>(t));
  const double correction2 = 1 - std::pow(o.beta2, static_cast<double>(t));
  return {.shrink = static_cast<float>(decay ? 1 - lr * o.weight_decay : 1.0),
          .beta1 = static_cast<float>(o.beta1),
          .beta2 = static_cast<float>(o.beta2),
          .epsilon = static_cast<float>(o.epsilon),
          .step_size = static_cast<float>(lr / correction1),
          .inverse_sqrt_correction2 = static_cast<float>(1 / std::sqrt(correction2)),
          .grad_scale = static_cast<float>(scale)};
}

}  // namespace

void AdamW::update_slot(const Bucket& bucket, const Moments& moments, const Parameter& parameter, double lr, double scale) {
  // What of the slot is in this rank's part.
  const int64_t offset = std::max(parameter.offset, bucket.part_begin);
  const int64_t n = std::min(parameter.offset + parameter.value.numel(), bucket.part_begin + bucket.part_size) - offset;
  if (n <= 0) return;
  float* p = bucket.values.mutable_data_ptr<float>() + offset;
  const float* g = bucket.grads.const_data_ptr<float>() + offset;
  float* m = moments.first.mutable_data_ptr<float>() + (offset - bucket.part_begin);
  float* v = moments.second.mutable_data_ptr<float>() + (offset - bucket.part_begin);
  const kernels::AdamWScalars s = scalars(options_, parameter.decay, steps_, lr, scale);
  at::parallel_for(0, (n + kChunk - 1) / kChunk, 1, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kChunk, count = std::min(n, end * kChunk) - first;
    kernels::adamw(p + first, g + first, m + first, v + first, count, s);
  });
}

void AdamW::update_rows(const Bucket& bucket, const Moments& moments, const Parameter& parameter, double lr, double scale,
                        std::span<const int32_t> touched) {
  for (int32_t row : touched) ever_touched_[static_cast<size_t>(row)] = 1;
  const int64_t rows = parameter.value.size(0), width = parameter.value.size(1), offset = parameter.offset;
  float* p = bucket.values.mutable_data_ptr<float>() + offset;
  const float* g = bucket.grads.const_data_ptr<float>() + offset;
  float* m = moments.first.mutable_data_ptr<float>() + offset;
  float* v = moments.second.mutable_data_ptr<float>() + offset;
  const kernels::AdamWScalars s = scalars(options_, parameter.decay, steps_, lr, scale);
  at::parallel_for(0, rows, 1024, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t at = row * width;
      if (ever_touched_[static_cast<size_t>(row)])
        kernels::adamw(p + at, g + at, m + at, v + at, width, s);
      else if (s.shrink != 1.0f)
        kernels::scale(p + at, width, s.shrink);
    }
  });
}

AdamW::State AdamW::gathered_state() const {
  const bool root = parameters_.comm().rank() == 0;
  std::vector<Moments> all = moments_;
  for (size_t b = 0; b < all.size(); ++b) {
    const Bucket& bucket = parameters_.buckets()[b];
    if (!bucket.is_cut()) continue;
    for (at::Tensor* moment : {&all[b].first, &all[b].second}) {
      const at::Tensor whole = at::empty_like(bucket.values);
      bucket.part(whole).copy_(*moment);
      parameters_.comm().all_gather(whole);
      *moment = root ? whole.to(at::kCPU) : at::Tensor();
    }
  }
  return root ? named(all) : State();
}

void AdamW::fill_state(const std::function<void(const State&)>& fill) {
  std::vector<Moments> all = moments_;
  for (size_t b = 0; b < all.size(); ++b) {
    const Bucket& bucket = parameters_.buckets()[b];
    if (bucket.is_cut()) all[b] = {at::zeros(bucket.values.sizes()), at::zeros(bucket.values.sizes())};
  }
  fill(named(all));
  for (size_t b = 0; b < all.size(); ++b) {
    const Bucket& bucket = parameters_.buckets()[b];
    if (!bucket.is_cut()) continue;
    moments_[b].first.copy_(bucket.part(all[b].first));
    moments_[b].second.copy_(bucket.part(all[b].second));
  }
}

AdamW::State AdamW::named(const std::vector<Moments>& of_buckets) const {
  State state;
  for (const Parameter& parameter : parameters_.parameters()) {
    const Moments& moments = of_buckets[static_cast<size_t>(parameter.bucket)];
    if (!moments.first.defined()) continue;
    const auto slot = [&](const at::Tensor& flat) {
      return flat.narrow(0, parameter.offset, parameter.value.numel()).view(parameter.value.sizes());
    };
    state.emplace_back("exp_avg." + parameter.name, slot(moments.first));
    state.emplace_back("exp_avg_sq." + parameter.name, slot(moments.second));
  }
  return state;
}

void AdamW::restored(int64_t steps) {
  steps_ = steps;
  if (device_) device_->restored(steps);
  if (ever_touched_.empty()) return;
  for (size_t b = 0; b < moments_.size(); ++b) {
    const Bucket& bucket = parameters_.buckets()[b];
    if (bucket.kind != GradKind::kRows || !moments_[b].first.defined()) continue;
    const Parameter& table = parameters_.parameters()[static_cast<size_t>(bucket.parameters[0])];
    const auto rows_in_use = [&](const at::Tensor& flat) {
      return flat.narrow(0, table.offset, table.value.numel()).view(table.value.sizes()).ne(0).any(1);
    };
    const at::Tensor used = rows_in_use(moments_[b].first).logical_or(rows_in_use(moments_[b].second)).to(at::kCPU, at::kByte);
    std::copy_n(used.const_data_ptr<uint8_t>(), ever_touched_.size(), ever_touched_.begin());
  }
}

}  // namespace berth::train
