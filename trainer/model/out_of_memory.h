// A GPU whose memory does not suffice, in words that help.
#pragma once

#include <functional>
#include <string>

#include "data/samples/batch.h"
#include "trainer/torch.h"

namespace berth::train {

// Whether libtorch's allocator found too little of it. Of a slice of a GPU (MIG) it asks NVML, before it says so, for what NVML does not tell of one, and fails
// on that instead (libtorch 2.15).
bool is_out_of_memory(const c10::Error& error);

// Runs `work`. If the GPU's memory runs out, throws Error(kUsage): what it was for, `advice`, and what libtorch's allocator says of the
// memory. Both are asked for after all that `work` held is given back.
void with_memory_for(const std::function<std::string()>& what, const std::function<std::string()>& advice,
                     const std::function<void()>& work);
// For work on a batch.
void with_memory_for(const data::Batch& batch, const std::function<std::string()>& advice, const std::function<void()>& work);

}  // namespace berth::train
