// The parameters of a model, their gradients and where both live: flat fp32 buckets.
//
// Parameters are declared in forward order. Buckets are filled in reverse of that order, because backward finishes the last
// layers first, and are cut at a size limit, the last one at a smaller one; tables of GradKind::kRows follow, then the frozen ones. Values and gradients are two
// flat tensors per bucket with the same slots, aligned to 64 bytes; the gap between slots stays zero. Each parameter is an
// autograd leaf that views its slot, and its grad() is a view of the gradient's slot, for good: nothing may replace it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "trainer/comm/communicator.h"
#include "trainer/torch.h"

namespace berth::train {

enum class GradKind {
  kDense,
  // An embedding table of which a step touches few rows: a bucket of its own, of which only touched rows are zeroed, reduced and
  // updated (see optim/grad_reducer.h). Not for tables tied to an output layer.
  kRows
};

// kNormal: mean 0, the config's initializer_range. kNormalPadded: the same, but row `padding_row` is zero and takes no gradient. kSinusoids:
// rows are positions (Vaswani et al., "Attention Is All You Need", 2017, section 3.5).
enum class Init { kNormal, kNormalPadded, kZeros, kOnes, kSinusoids };

// What a model declares of one parameter. Names are Hugging Face's, e.g. "bert.encoder.layer.0.attention.self.query.weight".
struct ParameterSpec {
  std::string name;
  std::vector<int64_t> shape;
  bool decay = true;  // false for biases and LayerNorm
  GradKind kind = GradKind::kDense;
  Init init = Init::kNormal;
  int64_t padding_row = 0;  // of kNormalPadded
  // Nothing but Kernels::linear_backward_weight writes to its gradient: see ParameterStore::take_stale().
  bool by_products = false;
  // Its slot ends where the previous parameter's begins (if their sizes are multiples of the slots' alignment and neither or both
  // are frozen): no bucket ends between them.
  bool beside_previous = false;
};

struct Parameter {
  std::string name;
  int index = 0;             // in ParameterStore::parameters()
  at::Tensor value;          // leaf, fp32, a view of its bucket's values
  at::Tensor grad;           // a view of its bucket's grads; value.grad() is this tensor. Undefined if frozen
  at::Tensor compute_value;  // value in the compute type: value itself, or a view of its bucket's compute_values
  bool decay = true;
  bool frozen = false;
  bool by_products = false;
  int bucket = 0;
  int64_t offset = 0;  // elements from the start of the bucket
};

struct Bucket {
  at::Tensor values;            // [n] fp32
  at::Tensor grads;             // [n] fp32, allocated by the communicator; undefined if frozen
  at::Tensor compute_values;    // [n] copy of values in the compute type, if enable_compute_copy() made one
  std::vector<int> parameters;  // indices, in the order of their slots
  bool frozen = false;
  GradKind kind = GradKind::kDense;

  // The elements that this rank updates: all, unless ranks share the work (ParameterStore::Updates).
  int64_t part_begin = 0, part_size = 0;
  bool is_cut = false;             // whether any ranks share it; alike on all
  std::vector<int64_t> part_ends;  // of the parts of the sharers (comm::Sharers), if it is they who share it
  at::Tensor part(const at::Tensor& of_all) const { return of_all.narrow(0, part_begin, part_size); }
};

// Elements. On CPUs a rank's part of a dense bucket begins and ends at multiples of it (or where the bucket ends), so that what is computed by
// such chunks has the same bits however many share.
constexpr int64_t kChunk = 4096;
constexpr int64_t kBucketBytes = 25 << 20;  // torch.nn.parallel.DistributedDataParallel's bucket_cap_mb
// The last one's at most, if there are several, and the first parameter is not larger (in masked LM the words are): nothing hides its sums, and the
// next forward pass reads its values first.
constexpr int64_t kLastBucketBytes = 10 << 20;

class ParameterStore {
 public:
  // kOnEachHost: values and their copies are one memory for the sharers (comm::Sharers: the ranks of a host, on CPUs), each of which updates a
  // part of every bucket, of a kRows table whole rows; a rank that shares with none updates all. kAmongAll: dense buckets are cut into a part a
  // rank, all of the same size, which that rank alone updates (stage 1 of ZeRO: Rajbhandari et al., "ZeRO: Memory
  // Optimizations Toward Training Trillion Parameter Models", SC 2020); where any ranks share values it is kOnEachHost, which takes less memory as
  // long as a host has more ranks than there are hosts, and less time. kNone: for use alone, all are frozen.
  enum class Updates { kOnEachHost, kAmongAll, kNone };
  // `frozen` names parameters that take no gradient; they get slots in buckets of their own without gradients. `comm` must outlive it.
  ParameterStore(const std::vector<ParameterSpec>& specs, comm::Communicator& comm, int64_t bucket_bytes,
                 const std::vector<std::string>& frozen = {}, Updates updates = Updates::kOnEachHost);
  ParameterStore(const ParameterStore&) = delete;
  ParameterStore& operator=(const ParameterStore&) = delete;

  Parameter& operator[](const std::string& name);  // throws if unknown
  const Parameter* find(const std::string& name) const;
  std::vector<Parameter>& parameters() { return parameters_; }  // in declared order
  const std::vector<Parameter>& parameters() const { return parameters_; }
  std::vector<Bucket>& buckets() { return buckets_; }
  const std::vector<Bucket>& buckets() const { return buckets_; }
  comm::Communicator& comm() const { return comm_; }
  // Whether values are one memory for several ranks, on any host. They are then changed when no other rank reads them, and after it all ranks
  // make a collective.
  bool shares_values() const { return sharers_.most > 1; }
  bool is_cut() const {
    return std::any_of(buckets_.begin(), buckets_.end(), [](const Bucket& bucket) { return bucket.is_cut; });
  }
  bool is_cut_among_all() const { return is_cut() && updates_ == Updates::kAmongAll; }

  // Fills parameters from (seed, name), the same on any number of ranks. Collective.
  void initialize(const std::vector<ParameterSpec>& specs, double initializer_range, uint64_t seed);
  // On this rank alone, without compute copies.
  void initialize_here(const std::vector<ParameterSpec>& specs, double initializer_range, uint64_t seed);
  // Begins a step: the bucket's gradients are zero. With `products_store` those by_products are stale instead: their slots keep what they
  // held, which the first product overwrites.
  void clear_grads(const Bucket& bucket, bool products_store);
  // Whether the slot is stale; from now on it is not: the caller overwrites it.
  bool take_stale(int parameter) const { return std::exchange(stale_[static_cast<size_t>(parameter)], uint8_t{0}) != 0; }
  // What is still stale, for want of a product, is zero.
  void complete_grads(const Bucket& bucket) const;
  // Throws (kInternal) if a gradient is no longer a view of its slot.
  void check_grads_are_views() const;

  // Called with the parameter's index when its gradient of this backward pass (so: of this micro-batch) is in its slot: once per
  // pass for each parameter that is not frozen and takes part in it, on the thread that runs backward. One callback at a time; an
  // empty function removes it.
  void set_grad_ready_callback(std::function<void(int parameter)> callback) { grad_ready_callback_ = std::move(callback); }
  // For autograd Functions that add to Parameter::grad themselves. (Gradients that go through ordinary autograd are announced by
  // hooks.)
  void announce_grad(int parameter) const {
    if (grad_ready_callback_) grad_ready_callback_(parameter);
  }

  // A leaf that requires a gradient and never gets one. Autograd makes a node only if an input requires a gradient, so Functions
  // that add to Parameter::grad themselves take this as an input instead of the parameters, whose hooks would fire a second time.
  const at::Tensor& anchor() const { return anchor_; }

  // Computing in bf16 or fp16: keeps a copy of all values in that type, or rounded to it where the device's Kernels::weight_type() is fp32, which
  // Parameter::compute_value views; none of kRows tables, which no product reads. Whoever changes values calls refresh_compute_copy()
  // afterwards (it does nothing without a copy), or writes Bucket::compute_values itself. Both are collective.
  void enable_compute_copy(at::ScalarType type);
  void refresh_compute_copy();
  // After an update, collective: each rank has updated its part of the bucket; where all ranks share it, the others' parts come from now on, while
  // this rank goes on. Called in forward order, from the last bucket of parameters() to the first, which is that in which they come.
  void start_gather(size_t bucket);
  // All buckets are updated, and their gathers started.
  void end_update();
  // Before values or compute copies are read or written again: those of all parameters that are declared up to `last` have come. The forward
  // pass awaits what it reads layer by layer; whoever else reads or writes values awaits all.
  void await_values(const Parameter& last) { await_values_up_to(last.index); }
  void await_values() { await_values_up_to(static_cast<int>(parameters_.size())); }
  // Each rank brings sums over its parts of what is cut, and gets those over all parts. Where anything is cut, collective: no rank returns before all have called it.
  void sum_over_parts(std::span<double> sums) const;
  // Zeroed [elements] on the parameters' device, where values are shared in the memory of all sharers.
  at::Tensor allocate(int64_t elements, at::ScalarType type) const;

 private:
  void refresh_compute_copy(Bucket& bucket) const;
  void await_values_up_to(int parameter);
  // So many parameters from the first one on, whose gradients are the last to be ready, have the last bucket of dense ones; 0: what comes to lie there.
  int declared_in_last_bucket(const std::vector<ParameterSpec>& specs, int64_t bucket_bytes) const;
  void build_bucket(const std::vector<ParameterSpec>& specs, const std::vector<int>& members);
  // Parts of a bucket of so many elements, for sharers each a multiple of `unit`; how many it has with what parts of equal size need more.
  int64_t cut(Bucket& bucket, int64_t size, int64_t unit) const;

  comm::Communicator& comm_;
  Updates updates_;
  comm::Sharers sharers_;  // of the values
  std::vector<Parameter> parameters_;
  std::vector<Bucket> buckets_;
  std::unordered_map<std::string, int> index_;
  mutable std::vector<uint8_t> stale_;  // by parameter; backward, which writes gradients, has the store as const
  struct Gather {
    size_t bucket;
    comm::Ticket ticket;
  };
  std::deque<Gather> gathers_;  // under way, in order
  at::ScalarType compute_type_ = at::kFloat;
  std::function<void(int)> grad_ready_callback_;
  at::Tensor anchor_ = at::zeros({1}).set_requires_grad(true);
};

}  // namespace berth::train
