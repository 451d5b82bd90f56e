#include "trainer/run/peak_flops.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <vector>

namespace berth::train {
namespace {

struct Peaks {
  std::vector<std::string_view> words;  // all are in the model's name
  double bf16, fp16, tf32, fp32;        // TFLOP/s, 0: not at a peak of its own
};

// The first that fits. Data sheets often give the tensor cores' figures with sparsity: half of those is here.
const Peaks kPeaks[] = {
    // "NVIDIA GB200 NVL72" (a 72nd of it); "NVIDIA HGX" for HGX B200 (an eighth).
    {{"GB200"}, 2500, 2500, 1250, 80},
    {{"B200"}, 2250, 2250, 1125, 75},
    // "NVIDIA GH200 Grace Hopper Superchip"; "NVIDIA H200 Tensor Core GPU"; "NVIDIA H100 Tensor Core GPU".
    {{"GH200"}, 990, 990, 494, 67},
    {{"H200", "NVL"}, 835.5, 835.5, 417.5, 60},
    {{"H200"}, 989.5, 989.5, 494.5, 67},
    {{"H100", "NVL"}, 835.5, 835.5, 417.5, 60},
    {{"H100", "PCIe"}, 756, 756, 378, 51},
    {{"H100"}, 989.5, 989.5, 494.5, 67},
    // "NVIDIA A100 Tensor Core GPU", "NVIDIA A30 Tensor Core GPU", "NVIDIA A40", "NVIDIA A10".
    {{"A100", "64GB"}, 0, 0, 0, 0},  // CINECA's own, with more multiprocessors
    {{"A100"}, 312, 312, 156, 19.5},
    {{"A30"}, 165, 165, 82, 10.3},
    {{"A40"}, 149.7, 149.7, 74.8, 37.4},
    {{"RTX A6000"}, 154.8, 154.8, 77.4, 38.7},  // "NVIDIA RTX A6000"
    {{"A10"}, 125, 125, 62.5, 31.2},
    // "NVIDIA L40S", "NVIDIA L40", "NVIDIA L4 Tensor Core GPU", "NVIDIA RTX 6000 Ada Generation".
    {{"L40S"}, 362, 362, 183, 91.6},
    {{"L40"}, 181, 181, 90.5, 90.5},
    {{"L4"}, 121, 121, 60, 30.3},
    {{"RTX 6000 Ada"}, 364.2, 364.2, 182.1, 91.1},
    // "NVIDIA V100 Tensor Core GPU", "NVIDIA T4": no bf16 and no TF32.
    {{"V100S"}, 0, 130, 0, 16.4},
    {{"V100", "PCIE"}, 0, 112, 0, 14},
    {{"V100"}, 0, 125, 0, 15.7},
    {{"T4"}, 0, 65, 0, 8.1},
};

bool has_word(std::string_view text, std::string_view word) {
  const auto letter_or_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); };
  for (size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
    const size_t end = at + word.size();
    if ((at == 0 || !letter_or_digit(text[at - 1])) && (end == text.size() || !letter_or_digit(text[end]))) return true;
  }
  return false;
}

}  // namespace

double peak_flops(std::string_view model, ProductType type) {
  if (has_word(model, "MIG")) return std::numeric_limits<double>::quiet_NaN();  // a part of a GPU
  const auto found = std::find_if(std::begin(kPeaks), std::end(kPeaks), [&](const Peaks& peaks) {
    return std::all_of(peaks.words.begin(), peaks.words.end(), [&](std::string_view word) { return has_word(model, word); });
  });
  double tera = 0;
  if (found != std::end(kPeaks)) {
    switch (type) {
      case ProductType::kFp32:
        tera = found->fp32;
        break;
      case ProductType::kTf32:
        tera = found->tf32;
        break;
      case ProductType::kFp16:
        tera = found->fp16;
        break;
      case ProductType::kBf16:
        tera = found->bf16;
        break;
    }
  }
  return tera > 0 ? tera * 1e12 : std::numeric_limits<double>::quiet_NaN();
}

std::string device_model(const std::string& device_name) { return device_name.substr(0, device_name.find(", ")); }

}  // namespace berth::train
