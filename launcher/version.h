#pragma once

#include <string>

namespace berth::launch {

std::string version_number();  // "0.1.0"
// "berth 0.1.0 (libtorch 2.15.0, AVX512)"
std::string version();

}  // namespace berth::launch
