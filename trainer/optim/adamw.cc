#include "trainer/optim/adamw.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/check.h"
#include "trainer/optim/adamw_kernels.h"
#include "trainer/optim/lamb.h"
#include "trainer/optim/pieces.h"

namespace berth::train {
namespace {

// sums[i]: of the squares of the i-th chunk of x[0, n).
void sum_squares(const float* x, int64_t n, double* sums) {
  at::parallel_for(0, (n + kChunk - 1) / kChunk, 4, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) sums[c] = kernels::sum_of_squares(x + c * kChunk, std::min(kChunk, n - c * kChunk));
  });
}

bool trainable(const Bucket& bucket) { return bucket.grads.defined(); }

// Whether this rank has, maybe together with others, the moments of all of the bucket.
bool held_whole(const Bucket& bucket) { return !bucket.is_cut || !bucket.part_ends.empty(); }

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

kernels::LambScalars lamb_factors(const AdamWOptions& o, int64_t t, double scale) {
  const double correction1 = 1 - std::pow(o.beta1, static_cast<double>(t));
  const double correction2 = 1 - std::pow(o.beta2, static_cast<double>(t));
  return {.beta1 = static_cast<float>(o.beta1),
          .beta2 = static_cast<float>(o.beta2),
          .epsilon = static_cast<float>(o.epsilon),
          .inverse_correction1 = static_cast<float>(1 / correction1),
          .inverse_sqrt_correction2 = static_cast<float>(1 / std::sqrt(correction2)),
          .grad_scale = static_cast<float>(scale),
          .decay = static_cast<float>(o.weight_decay)};
}

constexpr std::pair<std::string_view, Optim> kOptims[] = {
    {"adamw", Optim::kAdamW}, {"lamb", Optim::kLamb}, {"adamw_torch", Optim::kAdamW}, {"adamw_torch_fused", Optim::kAdamW}};

}  // namespace

Optim parse_optim(const std::string& name) {
  for (const auto& [known, optim] : kOptims)
    if (name == known) return optim;
  fail(ExitCode::kUsage, "--optim ", name, " is not known; use adamw or lamb");
}

std::string_view optim_name(Optim optim) {
  for (const auto& [name, known] : kOptims)
    if (known == optim) return name;
  fail(ExitCode::kInternal, "an optimizer without a name");
}

void AdamWOptions::validate() const {
  check_usage(learning_rate >= 0 && std::isfinite(learning_rate), "--learning-rate must be a number from 0 on, got ",
              learning_rate);
  check_usage(layerwise_lr_decay > 0 && layerwise_lr_decay <= 1, "--layerwise-lr-decay must lie in (0, 1], got ",
              layerwise_lr_decay);
  check_usage(!head_learning_rate || (*head_learning_rate >= 0 && std::isfinite(*head_learning_rate)),
              "--head-learning-rate must be a number from 0 on, got ", head_learning_rate.value_or(0));
  check_usage(ema_decay >= 0 && ema_decay < 1, "--ema-decay must lie in [0, 1), got ", ema_decay);
  check_usage(weight_decay >= 0 && std::isfinite(weight_decay), "--weight-decay must be a number from 0 on, got ", weight_decay);
  check_usage(beta1 >= 0 && beta1 < 1, "--adam-beta1 must lie in [0, 1), got ", beta1);
  check_usage(beta2 >= 0 && beta2 < 1, "--adam-beta2 must lie in [0, 1), got ", beta2);
  check_usage(epsilon > 0 && std::isfinite(epsilon), "--adam-epsilon must be positive, got ", epsilon);
  check_usage(max_grad_norm >= 0 && std::isfinite(max_grad_norm), "--max-grad-norm must be positive, or 0 for no clipping; got ",
              max_grad_norm);
}

AdamW::AdamW(ParameterStore& parameters, AdamWOptions options)
    : parameters_(parameters), options_(options), groups_(rate_groups(parameters.parameters(), options)) {
  for (const Bucket& bucket : parameters_.buckets()) {
    Moments& held = held_.emplace_back();
    Moments& moments = moments_.emplace_back();
    if (!trainable(bucket)) continue;
    const int64_t n = held_whole(bucket) ? bucket.values.numel() : bucket.part_size;
    const auto make = [&](at::Tensor& whole, at::Tensor& part) {
      whole = parameters_.allocate(n, at::kFloat);
      part = held_whole(bucket) ? bucket.part(whole) : whole;
      if (bucket.kind == GradKind::kDense) part.zero_();  // takes its memory now; of a table what is touched does later
    };
    make(held.first, moments.first);
    make(held.second, moments.second);
    if (options_.ema_decay == 0) continue;
    make(held.average, moments.average);
    moments.average.copy_(bucket.part(bucket.values));
  }
  // Before rank 0 fills them for all: what a rank that is late clears would be lost.
  if (parameters_.shares_values()) parameters_.comm().barrier();
  const at::Device device = parameters_.buckets().front().values.device();
  if (!device.is_cpu() || optimizer_kernels(device.type()) != nullptr) {
    device_.emplace(parameters_, moments_, groups_, options_);
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
  // Here rank 0 waits, whom the others wait for below.
  begin_to_change();
  std::vector<double> sums;  // of chunks and rows, in the same order however they are shared; of others' parts zeros
  for (const Bucket& bucket : parameters_.buckets()) {
    if (!trainable(bucket)) continue;
    // Of what all have where something else is cut one rank tells.
    const bool tells = bucket.is_cut || !parameters_.is_cut() || parameters_.comm().rank() == 0;
    const float* grads = bucket.grads.const_data_ptr<float>();
    if (bucket.kind == GradKind::kRows) {
      const int64_t width = parameters_.parameters()[static_cast<size_t>(bucket.parameters[0])].value.size(1);
      for (const int32_t row : touched) {
        const int64_t at = row * width - bucket.part_begin;
        sums.push_back(tells && at >= 0 && at < bucket.part_size ? kernels::sum_of_squares(grads + row * width, width) : 0);
      }
    } else {
      const size_t first = sums.size();
      sums.resize(first + static_cast<size_t>((bucket.values.numel() + kChunk - 1) / kChunk));
      if (tells) sum_squares(grads + bucket.part_begin, bucket.part_size, &sums[first] + bucket.part_begin / kChunk);
    }
  }
  parameters_.sum_over_parts(sums);
  return std::sqrt(std::accumulate(sums.begin(), sums.end(), 0.0));
}

void AdamW::start(std::span<const double> rates, const at::Tensor& loss, const TouchedRows& touched, bool halts) {
  begin_to_change();
  device_->start(rates, loss, touched, halts);
}

kernels::StepScalars AdamW::finish() {
  const kernels::StepScalars scalars = device_->finish();
  steps_ = scalars.updates;
  return scalars;
}

void AdamW::step(std::span<const double> rates, double norm, std::span<const int32_t> touched) {
  at::NoGradGuard no_grad;
  begin_to_change();
  ++steps_;
  const double limit = options_.max_grad_norm;
  const double scale = limit > 0 ? std::min(1.0, limit / (norm + 1e-6)) : 1.0;
  if (!ever_touched_.empty())
    for (int32_t row : touched) ever_touched_[static_cast<size_t>(row)] = 1;
  std::vector<double> of_parameters;
  for (uint8_t group : groups_.of_parameter) of_parameters.push_back(rates[group]);
  if (options_.optim == Optim::kLamb)
    lamb_step(parameters_, moments_, ever_touched_, of_parameters, lamb_factors(options_, steps_, scale), averages_weight());
  for (size_t b = parameters_.buckets().size(); b-- > 0;) {
    if (options_.optim == Optim::kAdamW && trainable(parameters_.buckets()[b]))
      adamw_step(parameters_.buckets()[b], of_parameters, scale);
    parameters_.start_gather(b);
  }
  parameters_.end_update();
}

void AdamW::adamw_step(const Bucket& bucket, std::span<const double> rates, double grad_scale) {
  for (const int index : bucket.parameters) {
    const Parameter& parameter = parameters_.parameters()[static_cast<size_t>(index)];
    const kernels::AdamWScalars s =
        scalars(options_, parameter.decay, steps_, rates[static_cast<size_t>(parameter.index)], grad_scale);
    for_pieces(parameters_, moments_, ever_touched_, parameter, [&](const Piece& piece) {
      if (piece.has_moments)
        kernels::adamw(piece.values, piece.grads, piece.first, piece.second, piece.size, s);
      else if (s.shrink != 1.0f)
        kernels::scale(piece.values, piece.size, s.shrink);
      follow(piece, averages_weight());
    });
  }
}

void AdamW::swap_averages() {
  if (options_.ema_decay == 0) return;
  at::NoGradGuard no_grad;
  begin_to_change();
  if (parameters_.shares_values()) parameters_.comm().barrier();
  for (size_t b = 0; b < moments_.size(); ++b) {
    if (!moments_[b].average.defined()) continue;
    const Bucket& bucket = parameters_.buckets()[b];
    const at::Tensor values = bucket.part(bucket.values), before = values.clone();
    values.copy_(moments_[b].average);
    moments_[b].average.copy_(before);
  }
  for (size_t b = moments_.size(); b-- > 0;) parameters_.start_gather(b);
  parameters_.end_update();
  parameters_.await_values();
  parameters_.refresh_compute_copy();
}

AdamW::State AdamW::gathered_state() const {
  const bool root = parameters_.comm().rank() == 0;
  std::vector<Moments> all = held_;
  at::Tensor largest;  // one after the other is gathered in it: a device need not have room for more
  for (const Bucket& bucket : parameters_.buckets())
    if (!held_whole(bucket) && (!largest.defined() || bucket.values.numel() > largest.numel())) largest = bucket.values;
  if (largest.defined()) largest = at::empty_like(largest);
  for (size_t b = 0; b < all.size(); ++b) {
    const Bucket& bucket = parameters_.buckets()[b];
    if (held_whole(bucket)) continue;
    for (at::Tensor* moment : {&all[b].first, &all[b].second, &all[b].average}) {
      if (!moment->defined()) continue;
      const at::Tensor whole = largest.narrow(0, 0, bucket.values.numel());
      bucket.part(whole).copy_(*moment);
      parameters_.comm().wait(parameters_.comm().start_all_gather(whole));
      *moment = root ? whole.to(at::kCPU, whole.scalar_type(), /*non_blocking=*/false, /*copy=*/true) : at::Tensor();
    }
  }
  return root ? named(all) : State();
}

void AdamW::fill_state(const std::function<void(const State&)>& fill, bool with_averages) {
  std::vector<Moments> all = held_;
  for (size_t b = 0; b < all.size(); ++b) {
    const Bucket& bucket = parameters_.buckets()[b];
    if (!with_averages) all[b].average = at::Tensor();
    if (held_whole(bucket)) continue;
    for (at::Tensor* moment : {&all[b].first, &all[b].second, &all[b].average})
      if (moment->defined()) *moment = at::zeros(bucket.values.sizes());
  }
  fill(named(all));
  for (size_t b = 0; b < all.size(); ++b) {
    const Bucket& bucket = parameters_.buckets()[b];
    if (held_whole(bucket)) continue;
    moments_[b].first.copy_(bucket.part(all[b].first));
    moments_[b].second.copy_(bucket.part(all[b].second));
    if (all[b].average.defined()) moments_[b].average.copy_(bucket.part(all[b].average));
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
    if (moments.average.defined()) state.emplace_back("weight." + parameter.name, slot(moments.average));
  }
  return state;
}

void AdamW::restored(int64_t steps) {
  steps_ = steps;
  if (device_) device_->restored(steps);
  if (ever_touched_.empty()) return;
  for (size_t b = 0; b < held_.size(); ++b) {
    const Bucket& bucket = parameters_.buckets()[b];
    if (bucket.kind != GradKind::kRows || !held_[b].first.defined()) continue;
    const Parameter& table = parameters_.parameters()[static_cast<size_t>(bucket.parameters[0])];
    const auto rows_in_use = [&](const at::Tensor& flat) {
      return flat.narrow(0, table.offset, table.value.numel()).view(table.value.sizes()).ne(0).any(1);
    };
    const at::Tensor used = rows_in_use(held_[b].first).logical_or(rows_in_use(held_[b].second)).to(at::kCPU, at::kByte);
    std::copy_n(used.const_data_ptr<uint8_t>(), ever_touched_.size(), ever_touched_.begin());
  }
}

}  // namespace berth::train
