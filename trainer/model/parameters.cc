#include "trainer/model/parameters.h"

#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "data/check.h"
#include "data/philox.h"
#include "trainer/comm/local_communicator.h"
#include "trainer/kernels/ops.h"

namespace berth::train {
namespace {

constexpr int64_t kSlotAlignment = 64 / sizeof(float);

int64_t round_up(int64_t n) { return (n + kSlotAlignment - 1) / kSlotAlignment * kSlotAlignment; }

int64_t element_count(const ParameterSpec& spec) {
  int64_t count = 1;
  for (const int64_t size : spec.shape) {
    check_internal(size > 0, "parameter ", spec.name, " has a size of ", size);
    check(count <= (int64_t{1} << 40) / size, "parameter ", spec.name, " is impossibly large");
    count *= size;
  }
  return count;
}

int64_t slot_bytes(const ParameterSpec& spec) { return round_up(element_count(spec)) * static_cast<int64_t>(sizeof(float)); }

class AnnounceHook final : public torch::autograd::PostAccumulateGradHook {
 public:
  AnnounceHook(const ParameterStore& store, int parameter) : store_(store), parameter_(parameter) {}
  void operator()(const torch::autograd::Variable&) override { store_.announce_grad(parameter_); }

 private:
  const ParameterStore& store_;
  int parameter_;
};

// FNV-1a, 64 bits.
uint64_t hash_name(const std::string& name) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const unsigned char c : name) hash = (hash ^ c) * 0x100000001b3u;
  return hash;
}

// values[i] for i in [4 * first, 4 * last), cut at n: normal numbers by Box-Muller out of counter i / 4.
void fill_normal(float* values, int64_t n, int64_t first, int64_t last, double stddev, PhiloxKey key) {
  for (int64_t block = first; block < last; ++block) {
    const PhiloxCounter bits = philox({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), 0, 0}, key);
    for (int pair = 0; pair < 2; ++pair) {
      const double u = (bits[2 * pair] + 0.5) * 0x1.0p-32, angle = 2 * std::numbers::pi * 0x1.0p-32 * bits[2 * pair + 1];
      const double radius = stddev * std::sqrt(-2 * std::log(u));
      const int64_t i = 4 * block + 2 * pair;
      if (i < n) values[i] = static_cast<float>(radius * std::cos(angle));
      if (i + 1 < n) values[i + 1] = static_cast<float>(radius * std::sin(angle));
    }
  }
}

// [positions, columns]
at::Tensor sinusoids(at::IntArrayRef shape) {
  at::Tensor values = at::empty(shape, at::kFloat);
  auto value = values.accessor<float, 2>();
  for (int64_t position = 0; position < shape[0]; ++position)
    for (int64_t c = 0; c < shape[1]; ++c) {
      const double angle =
          static_cast<double>(position) / std::pow(10000.0, static_cast<double>(c / 2 * 2) / static_cast<double>(shape[1]));
      value[position][c] = static_cast<float>(c % 2 == 0 ? std::sin(angle) : std::cos(angle));
    }
  return values;
}

}  // namespace

ParameterStore::ParameterStore(const std::vector<ParameterSpec>& specs, comm::Communicator& comm, int64_t bucket_bytes,
                               const std::vector<std::string>& frozen, Updates updates)
    : comm_(comm), updates_(updates), sharers_(comm.sharers()) {
  if (updates == Updates::kAmongAll && shares_values()) updates_ = Updates::kOnEachHost;
  check_internal(bucket_bytes > 0, "bucket size ", bucket_bytes);
  for (const ParameterSpec& spec : specs) {
    const int index = static_cast<int>(parameters_.size());
    check_internal(index_.emplace(spec.name, index).second, "parameter ", spec.name, " is declared twice");
    Parameter& parameter = parameters_.emplace_back();
    parameter.name = spec.name;
    parameter.index = index;
    parameter.decay = spec.decay;
    parameter.by_products = spec.by_products;
    parameter.frozen = updates == Updates::kNone || std::find(frozen.begin(), frozen.end(), spec.name) != frozen.end();
  }
  for (const std::string& name : frozen)
    check(index_.contains(name), "cannot freeze ", name, ": the model has no such parameter");
  stale_.assign(parameters_.size(), 0);

  std::vector<int> dense, rows, frozen_members;
  int64_t dense_bytes = 0;
  const int tail = declared_in_last_bucket(specs, bucket_bytes);
  bool in_tail = false;
  for (int i = static_cast<int>(specs.size()) - 1; i >= 0; --i) {
    if (parameters_[i].frozen) {
      frozen_members.push_back(i);
    } else if (specs[i].kind == GradKind::kRows) {
      rows.push_back(i);
    } else {
      const int64_t bytes = slot_bytes(specs[i]);
      const bool beside_last = !dense.empty() && specs[dense.back()].beside_previous && dense.back() == i + 1;
      const bool ends = dense_bytes + bytes > bucket_bytes || (!in_tail && i < tail);
      in_tail = i < tail;
      if (!dense.empty() && !beside_last && ends) {
        build_bucket(specs, dense);
        dense.clear();
        dense_bytes = 0;
      }
      dense.push_back(i);
      dense_bytes += bytes;
    }
  }
  if (!dense.empty()) build_bucket(specs, dense);
  for (const int i : rows) build_bucket(specs, {i});
  if (!frozen_members.empty()) build_bucket(specs, frozen_members);
}

int ParameterStore::declared_in_last_bucket(const std::vector<ParameterSpec>& specs, int64_t bucket_bytes) const {
  int64_t bytes = 0;
  size_t tail = 0, end = 0;
  for (const ParameterSpec& spec : specs) {
    ++end;
    if (parameters_[end - 1].frozen || spec.kind == GradKind::kRows) continue;
    bytes += slot_bytes(spec);
    if (bytes <= kLastBucketBytes) tail = end;
  }
  if (bytes <= bucket_bytes) return 0;
  while (tail > 0 && tail < specs.size() && specs[tail].beside_previous) --tail;
  return static_cast<int>(tail);
}

void ParameterStore::build_bucket(const std::vector<ParameterSpec>& specs, const std::vector<int>& members) {
  const int bucket_index = static_cast<int>(buckets_.size());
  Bucket& bucket = buckets_.emplace_back();
  bucket.parameters = members;
  bucket.frozen = parameters_[members[0]].frozen;
  bucket.kind = bucket.frozen ? GradKind::kDense : specs[members[0]].kind;
  int64_t size = 0;
  for (const int i : members) {
    parameters_[i].bucket = bucket_index;
    parameters_[i].offset = size;
    size += round_up(element_count(specs[i]));
  }
  size = cut(bucket, size, bucket.kind == GradKind::kRows ? specs[members[0]].shape.back() : kChunk);
  bucket.values = allocate(size, at::kFloat);
  if (!bucket.part_ends.empty()) bucket.part(bucket.values).zero_();  // which takes its memory, near who will update it
  if (!bucket.frozen) {
    // Of a table's gradient, which is not reduced itself, only what is touched takes memory.
    const bool in_pages = bucket.kind == GradKind::kRows && comm_.device().is_cpu();
    bucket.grads =
        in_pages ? comm::allocate_pages(size * static_cast<int64_t>(sizeof(float))).view(at::kFloat) : comm_.allocate(size);
  }

  for (const int i : members) {
    Parameter& parameter = parameters_[i];
    const int64_t count = element_count(specs[i]);
    // variable_data() shares the memory but not the version counter: an update of the flat tensor is no in-place change to a
    // saved leaf.
    parameter.value = bucket.values.narrow(0, parameter.offset, count).view(specs[i].shape).variable_data();
    parameter.compute_value = parameter.value;
    if (bucket.frozen) continue;
    parameter.value.set_requires_grad(true);
    parameter.compute_value = parameter.value.variable_data();
    parameter.grad = bucket.grads.narrow(0, parameter.offset, count).view(specs[i].shape);
    parameter.value.mutable_grad() = parameter.grad;
    torch::autograd::impl::set_post_acc_grad_hooks(parameter.value, std::make_unique<AnnounceHook>(*this, i));
  }
}

int64_t ParameterStore::cut(Bucket& bucket, int64_t size, int64_t unit) const {
  bucket.part_size = size;
  if (bucket.frozen) return size;
  const auto part_of = [size](int64_t ranks, int64_t multiple) {
    return ((size + multiple - 1) / multiple + ranks - 1) / ranks * multiple;
  };
  if (updates_ == Updates::kAmongAll && bucket.kind == GradKind::kDense) {
    bucket.is_cut = true;
    bucket.part_size = part_of(comm_.size(), comm_.device().is_cpu() ? kChunk : kSlotAlignment);
    bucket.part_begin = comm_.rank() * bucket.part_size;
    return bucket.part_size * comm_.size();
  }
  if (updates_ != Updates::kOnEachHost || sharers_.most == 1) return size;
  bucket.is_cut = true;
  const int64_t part = part_of(sharers_.size, unit);
  for (int sharer = 1; sharer <= sharers_.size; ++sharer)
    bucket.part_ends.push_back(sharer == sharers_.size ? size : std::min(size, sharer * part));
  const auto own = static_cast<size_t>(sharers_.rank);
  bucket.part_begin = own == 0 ? 0 : bucket.part_ends[own - 1];
  bucket.part_size = bucket.part_ends[own] - bucket.part_begin;
  return size;
}

at::Tensor ParameterStore::allocate(int64_t elements, at::ScalarType type) const {
  const at::Device device = comm_.device();
  if (!device.is_cpu()) return at::zeros({elements}, at::TensorOptions(device).dtype(type));
  const int64_t bytes = elements * static_cast<int64_t>(c10::elementSize(type));
  return (shares_values() ? comm_.allocate_shared(bytes) : comm::allocate_pages(bytes)).view(type);
}

Parameter& ParameterStore::operator[](const std::string& name) {
  const auto found = index_.find(name);
  check_internal(found != index_.end(), "the model has no parameter named ", name);
  return parameters_[found->second];
}

const Parameter* ParameterStore::find(const std::string& name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &parameters_[found->second];
}

void ParameterStore::initialize(const std::vector<ParameterSpec>& specs, double initializer_range, uint64_t seed) {
  if (shares_values()) comm_.barrier();
  if (sharers_.rank == 0) initialize_here(specs, initializer_range, seed);
  if (shares_values()) comm_.barrier();
  refresh_compute_copy();
}

void ParameterStore::initialize_here(const std::vector<ParameterSpec>& specs, double initializer_range, uint64_t seed) {
  at::NoGradGuard no_grad;
  for (const ParameterSpec& spec : specs) {
    at::Tensor value = (*this)[spec.name].value.variable_data();
    if (spec.init == Init::kZeros || spec.init == Init::kOnes) {
      value.fill_(spec.init == Init::kOnes ? 1 : 0);
      continue;
    }
    if (spec.init == Init::kSinusoids) {
      value.copy_(sinusoids(value.sizes()));
      continue;
    }
    const PhiloxKey key = philox_key(seed, Purpose::kInit, hash_name(spec.name));
    at::Tensor host = at::empty(value.sizes(), at::kFloat);
    float* data = host.data_ptr<float>();
    const int64_t n = host.numel();
    at::parallel_for(0, (n + 3) / 4, 1 << 14,
                     [&](int64_t first, int64_t last) { fill_normal(data, n, first, last, initializer_range, key); });
    if (spec.init == Init::kNormalPadded) host.select(0, spec.padding_row).zero_();
    value.copy_(host);
  }
}

void ParameterStore::clear_grads(const Bucket& bucket, bool products_store) {
  int64_t begin = 0;
  const auto zero_to = [&](int64_t end) {
    if (begin < end) bucket.grads.narrow(0, begin, end - begin).zero_();
  };
  for (const int i : bucket.parameters) {
    const Parameter& parameter = parameters_[static_cast<size_t>(i)];
    if (!products_store || !parameter.by_products) continue;
    zero_to(parameter.offset);
    begin = parameter.offset + parameter.value.numel();
    stale_[static_cast<size_t>(i)] = 1;
  }
  zero_to(bucket.grads.numel());
}

void ParameterStore::complete_grads(const Bucket& bucket) const {
  for (const int i : bucket.parameters)
    if (take_stale(i)) parameters_[static_cast<size_t>(i)].grad.zero_();
}

void ParameterStore::check_grads_are_views() const {
  for (const Parameter& parameter : parameters_) {
    if (parameter.frozen) continue;
    const at::Tensor& grad = parameter.value.grad();
    const float* slot = buckets_[parameter.bucket].grads.const_data_ptr<float>() + parameter.offset;
    check_internal(
        grad.defined() && grad.const_data_ptr() == slot && grad.is_contiguous() && grad.sizes() == parameter.value.sizes(),
        "the gradient of ", parameter.name, " is no longer a view of its bucket");
  }
}

void ParameterStore::enable_compute_copy(at::ScalarType type) {
  compute_type_ = type;
  for (Bucket& bucket : buckets_) {
    if (bucket.kind == GradKind::kRows) continue;
    bucket.compute_values = allocate(bucket.values.numel(), kernels_of(bucket.values).weight_type(type));
    for (const int i : bucket.parameters) {
      Parameter& parameter = parameters_[static_cast<size_t>(i)];
      parameter.compute_value =
          bucket.compute_values.narrow(0, parameter.offset, parameter.value.numel()).view(parameter.value.sizes());
    }
  }
  refresh_compute_copy();
}

void ParameterStore::refresh_compute_copy() {
  if (compute_type_ == at::kFloat) return;
  for (Bucket& bucket : buckets_) refresh_compute_copy(bucket);
  if (shares_values()) comm_.barrier();
}

void ParameterStore::refresh_compute_copy(Bucket& bucket) const {
  if (!bucket.compute_values.defined()) return;
  at::Tensor values = bucket.values, copy = bucket.compute_values;
  if (!bucket.part_ends.empty())
    values = bucket.part(values), copy = bucket.part(copy);
  else if (sharers_.rank > 0)
    return;
  copy.copy_(copy.scalar_type() == compute_type_ ? values : values.to(compute_type_));
}

void ParameterStore::start_gather(size_t bucket) {
  if (updates_ == Updates::kAmongAll && buckets_[bucket].is_cut)
    gathers_.push_back({bucket, comm_.start_all_gather(buckets_[bucket].values)});
}

void ParameterStore::end_update() {
  if (updates_ == Updates::kOnEachHost && is_cut()) comm_.barrier();
}

void ParameterStore::await_values_up_to(int parameter) {
  const at::NoGradGuard no_grad;
  for (; !gathers_.empty(); gathers_.pop_front()) {
    Bucket& bucket = buckets_[gathers_.front().bucket];
    if (bucket.parameters.back() > parameter) return;  // its slots have parameters in reverse
    comm_.wait(gathers_.front().ticket);
    refresh_compute_copy(bucket);
  }
}

void ParameterStore::sum_over_parts(std::span<double> sums) const {
  if (!is_cut()) return;
  // Each host has all parts.
  if (updates_ == Updates::kOnEachHost && !sharers_.first) std::fill(sums.begin(), sums.end(), 0.0);
  if (sums.empty()) return comm_.barrier();  // others wait for this rank here
  comm_.all_reduce_sum(sums);
}

}  // namespace berth::train
