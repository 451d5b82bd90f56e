// In which precision a model computes; parameters, gradients and moments are fp32 in all of them.
#pragma once

#include <cstdint>

#include "trainer/comm/communicator.h"

// A name only: this header compiles without libtorch, for launcher/.
namespace c10 {
enum class ScalarType : int8_t;
}

namespace berth::train {

struct PrecisionOptions {
  bool bf16 = false;  // activations and matrix products
  bool fp16 = false;  // the same; training then scales the loss (LossScale). On GPUs
  bool tf32 = false;  // fp32 products may round their factors to TF32. On GPUs

  void validate() const;  // Error(kUsage)
};

// Of activations and matrix products: kFloat, kBFloat16 or kHalf.
c10::ScalarType compute_type(const PrecisionOptions& options);

// To be called on every rank before anything computes: allows or forbids TF32. Throws comm::AgreedError(kUsage) for what the device
// cannot do.
void set_precision(const PrecisionOptions& options, comm::Communicator& comm);

}  // namespace berth::train
