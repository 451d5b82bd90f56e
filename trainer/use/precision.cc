#include "trainer/use/precision.h"

#include <ATen/Context.h>
#include <c10/core/ScalarType.h>

#include "data/check.h"
#include "trainer/comm/agree.h"

namespace berth::train {

void PrecisionOptions::validate() const { check_usage(!bf16 || !fp16, "--bf16 and --fp16 exclude each other: give one of them"); }

c10::ScalarType compute_type(const PrecisionOptions& options) {
  return options.bf16 ? at::kBFloat16 : options.fp16 ? at::kHalf : at::kFloat;
}

void set_precision(const PrecisionOptions& options, comm::Communicator& comm) {
  comm::agree(comm, [&] {
    const bool on_cpu = comm.device().is_cpu();
    check_usage(!options.fp16 || !on_cpu, "--fp16 needs a GPU, and berth computes on the CPU here: --bf16 works on both");
    check_usage(!options.tf32 || !on_cpu, "--tf32 needs a GPU, and berth computes on the CPU here");
  });
  at::globalContext().setAllowTF32CuBLAS(options.tf32);
}

}  // namespace berth::train
