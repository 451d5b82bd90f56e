#include "launcher/device.h"

#include <gtest/gtest.h>

#include "data/check.h"
#include "launcher/placement.h"
#include "trainer/gpu/gpu_library.h"

namespace berth::launch {
namespace {

TEST(FairThreads, SharesCoresThatSeveralRanksMayUse) {
  const std::vector<int> eight = {0, 1, 2, 3, 4, 5, 6, 7};
  EXPECT_EQ(fair_threads(eight, {eight}), 8);
  EXPECT_EQ(fair_threads(eight, {eight, eight}), 4);
  EXPECT_EQ(fair_threads(eight, {eight, eight, eight}), 2);
  EXPECT_EQ(fair_threads({0, 1}, std::vector<std::vector<int>>(8, {0, 1})), 1);  // more ranks than cores
  EXPECT_EQ(fair_threads({4, 5, 6}, {{0, 1, 2}, {4, 5, 6}}), 3);                 // bound by the launcher
  EXPECT_EQ(fair_threads({}, {{}}), 1);
}

TEST(AllowedCores, AreAtLeastOne) { EXPECT_FALSE(allowed_cores().empty()); }

TEST(ChooseThreads, ObeysTheEnvironment) {
  auto comm = comm::make_local_communicator();
  setenv("OMP_NUM_THREADS", "3", 1);
  EXPECT_EQ(choose_threads(*comm), 3);
  unsetenv("OMP_NUM_THREADS");
  EXPECT_EQ(choose_threads(*comm), static_cast<int>(whole_cores(allowed_cores()).size()));
}

TEST(PlaceAmong, IsTheOnlyOneAlone) {
  const Place place = place_among(*comm::make_local_communicator(), "0000:65:00.0 ");
  EXPECT_EQ(place.rank, 0);
  EXPECT_EQ(place.size, 1);
}

TEST(ChooseGpu, TakesThatOfTheRanksPlace) {
  EXPECT_EQ(choose_gpu("auto", {0, 2}, VisibleGpus{0, "", ""}), -1);
  EXPECT_EQ(choose_gpu("cpu", {0, 2}, VisibleGpus{4, "", ""}), -1);
  EXPECT_EQ(choose_gpu("auto", {3, 4}, VisibleGpus{4, "", ""}), 3);
  EXPECT_EQ(choose_gpu("cuda", {1, 2}, VisibleGpus{4, "", ""}), 1);
  EXPECT_EQ(choose_gpu("cuda", {0, 1}, VisibleGpus{1, "", ""}), 0);
  EXPECT_EQ(choose_gpu("cuda:2", {0, 1}, VisibleGpus{4, "", ""}), 2);
}

TEST(ChooseGpu, SaysWhatIsWrong) {
  EXPECT_THROW(choose_gpu("cuda", {0, 1}, VisibleGpus{0, "", ""}), Error);
  EXPECT_THROW(choose_gpu("cuda", {0, 3}, VisibleGpus{2, "", ""}), Error);
  for (const char* request : {"cuda:2", "cuda:", "cuda:x", "cuda:-1", "gpu", ""})
    EXPECT_THROW(choose_gpu(request, {0, 1}, VisibleGpus{2, "", ""}), Error);
}

// Never on the CPU in silence where the job was given GPUs.
TEST(ChooseGpu, GpusThatCannotBeUsedAreAnError) {
  const VisibleGpus broken{0, "no NVIDIA driver is loaded on this host", "/dev/nvidia0"};
  try {
    choose_gpu("auto", {0, 1}, broken);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kUsage);
    for (const char* part : {"/dev/nvidia0", "no NVIDIA driver", "--device cpu"})
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
  EXPECT_EQ(choose_gpu("cpu", {0, 1}, broken), -1);
}

TEST(SliceOfGpu, IsWhatTheJobWasGiven) {
  for (const char* name : {"CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"}) unsetenv(name);
  EXPECT_EQ(gpu::slice_of_gpu(), "");
  setenv("NVIDIA_VISIBLE_DEVICES", "MIG-1", 1);
  EXPECT_EQ(gpu::slice_of_gpu(), "MIG-1");
  setenv("CUDA_VISIBLE_DEVICES", "MIG-2", 1);
  EXPECT_EQ(gpu::slice_of_gpu(), "MIG-2");
  unsetenv("NVIDIA_VISIBLE_DEVICES");
  setenv("CUDA_VISIBLE_DEVICES", "0,1", 1);
  EXPECT_EQ(gpu::slice_of_gpu(), "");
  unsetenv("CUDA_VISIBLE_DEVICES");
}

TEST(SignOfGpus, IsWhatTheJobWasGiven) {
  setenv("CUDA_VISIBLE_DEVICES", "0,1", 1);
  EXPECT_EQ(gpu::sign_of_gpus(), "CUDA_VISIBLE_DEVICES=0,1");
  for (const char* none : {"", "-1", "NoDevFiles"}) {
    setenv("CUDA_VISIBLE_DEVICES", none, 1);
    EXPECT_EQ(gpu::sign_of_gpus(), "") << none;
  }
  unsetenv("CUDA_VISIBLE_DEVICES");
  setenv("SLURM_JOB_GPUS", "3", 1);
  EXPECT_EQ(gpu::sign_of_gpus(), "SLURM_JOB_GPUS=3");
  unsetenv("SLURM_JOB_GPUS");
}

}  // namespace
}  // namespace berth::launch
