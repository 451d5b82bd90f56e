#include "trainer/run/peak_flops.h"

#include <gtest/gtest.h>

#include <cmath>

namespace berth::train {
namespace {

// Names as cudaDeviceProp::name has them.
TEST(PeakFlops, OfWhatTheDriverCallsGpus) {
  const struct {
    const char* model;
    double bf16, fp32;
  } table[] = {{"NVIDIA H100 80GB HBM3", 989.5, 67},
               {"NVIDIA H100 PCIe", 756, 51},
               {"NVIDIA H100 NVL", 835.5, 60},
               {"NVIDIA H200", 989.5, 67},
               {"NVIDIA H200 NVL", 835.5, 60},
               {"NVIDIA GH200 480GB", 990, 67},
               {"NVIDIA B200", 2250, 75},
               {"NVIDIA GB200", 2500, 80},
               {"NVIDIA A100-SXM4-80GB", 312, 19.5},
               {"NVIDIA A100 80GB PCIe", 312, 19.5},
               {"NVIDIA A10", 125, 31.2},
               {"NVIDIA A40", 149.7, 37.4},
               {"NVIDIA L4", 121, 30.3},
               {"NVIDIA L40", 181, 90.5},
               {"NVIDIA L40S", 362, 91.6},
               {"NVIDIA RTX 6000 Ada Generation", 364.2, 91.1},
               {"NVIDIA RTX A6000", 154.8, 38.7}};
  for (const auto& [model, bf16, fp32] : table) {
    EXPECT_DOUBLE_EQ(peak_flops(model, ProductType::kBf16), bf16 * 1e12) << model;
    EXPECT_DOUBLE_EQ(peak_flops(model, ProductType::kFp32), fp32 * 1e12) << model;
  }
  EXPECT_DOUBLE_EQ(peak_flops("NVIDIA A100-SXM4-40GB", ProductType::kTf32), 156e12);
  EXPECT_DOUBLE_EQ(peak_flops("Tesla V100-SXM2-32GB", ProductType::kFp16), 125e12);
  EXPECT_DOUBLE_EQ(peak_flops("Tesla V100-PCIE-16GB", ProductType::kFp16), 112e12);
  EXPECT_DOUBLE_EQ(peak_flops("Tesla T4", ProductType::kFp32), 8.1e12);
}

TEST(PeakFlops, OfOthersAreNotKnown) {
  for (const char* model : {"cpu", "", "NVIDIA A10G", "NVIDIA A100-SXM-64GB", "NVIDIA A100-SXM4-40GB MIG 1g.5gb", "NVIDIA H1000"})
    EXPECT_TRUE(std::isnan(peak_flops(model, ProductType::kBf16))) << model;
  EXPECT_TRUE(std::isnan(peak_flops("Tesla V100-SXM2-32GB", ProductType::kBf16)));
}

TEST(DeviceModel, IsWithoutVersions) {
  EXPECT_EQ(device_model("NVIDIA H200, driver 580.1, NCCL 2.30.0"), "NVIDIA H200");
  EXPECT_EQ(device_model("cpu"), "cpu");
}

}  // namespace
}  // namespace berth::train
