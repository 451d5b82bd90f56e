// How fast a GPU's matrix products can be at most: what MFU (model FLOPs utilisation) is a share of.
#pragma once

#include <string>
#include <string_view>

namespace berth::train {

// What products multiply, in the precisions that GPUs have peaks for.
enum class ProductType { kFp32, kTf32, kFp16, kBf16 };

// FLOP/s of dense matrices on one GPU at its highest clock, from NVIDIA's data sheets (peak_flops.cc names them). `model`: as
// cudaDeviceProp::name has it, e.g. "NVIDIA H100 80GB HBM3". NaN if the GPU, or this precision on it, is not in the table.
double peak_flops(std::string_view model, ProductType type);

// The GPU's model alone, of Communicator::device_name(); "cpu" stays.
std::string device_model(const std::string& device_name);

}  // namespace berth::train
