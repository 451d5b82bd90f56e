// The parameters of a model, their gradients and where both live: flat fp32 buckets.
//
// Parameters are declared in forward order. Buckets are filled in reverse of that order, because backward finishes the last
// layers first, and are cut at a size limit. Values and gradients are two flat tensors per bucket with the same slots, aligned to 64 bytes; the gap between
// slots stays zero. Each parameter is an autograd leaf that views its slot, and its grad() is a view of the gradient's slot, for good: nothing may replace it.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "trainer/comm/communicator.h"
#include "trainer/torch.h"

namespace berth::train {

enum class GradKind {
  kDense,
  // An embedding table of which a step touches few rows: a bucket of its own, of which only touched rows are zeroed, reduced and
  // updated (see comm/grad_reducer.h). Not for tables tied to an output layer.
  kRows
};

enum class Init { kNormal, kZeros, kOnes };  // kNormal: mean 0, the config's initializer_range

// What a model declares of one parameter. Names are Hugging Face's, e.g. "bert.encoder.layer.0.attention.self.query.weight".
struct ParameterSpec {
  std::string name;
  std::vector<int64_t> shape;
  bool decay = true;  // false for biases and LayerNorm
  GradKind kind = GradKind::kDense;
  Init init = Init::kNormal;
};

struct Parameter {
  std::string name;
  at::Tensor value;  // leaf, fp32, a view of its bucket's values
  at::Tensor grad;   // a view of its bucket's grads; value.grad() is this tensor unless frozen
  bool decay = true;
  bool frozen = false;
  int bucket = 0;
  int64_t offset = 0;  // elements from the start of the bucket
};

struct Bucket {
  at::Tensor values;           // [n] fp32
  at::Tensor grads;            // [n] fp32, allocated by the communicator
  std::vector<int> parameters;  // indices, in the order of their slots
  GradKind kind = GradKind::kDense;
};

class ParameterStore {
 public:
  // `frozen` names parameters that take no gradient; they get slots in buckets of their own without gradients.
  ParameterStore(const std::vector<ParameterSpec>& specs, comm::Communicator& comm, int64_t bucket_bytes,
                 const std::vector<std::string>& frozen = {});

  Parameter& operator[](const std::string& name);  // throws if unknown
  const Parameter* find(const std::string& name) const;
  std::vector<Parameter>& parameters() { return parameters_; }  // in declared order
  const std::vector<Parameter>& parameters() const { return parameters_; }
  std::vector<Bucket>& buckets() { return buckets_; }

  // Fills every parameter from (seed, name), the same on any number of ranks.
  void initialize(const std::vector<ParameterSpec>& specs, double initializer_range, uint64_t seed);
  void zero_grad();
  // Throws (kInternal) if a gradient is no longer a view of its slot.
  void check_grads_are_views() const;

 private:
  std::vector<Parameter> parameters_;
  std::vector<Bucket> buckets_;
  std::unordered_map<std::string, int> index_;
};

}  // namespace berth::train
