#include "launcher/device.h"

#include <gtest/gtest.h>

#include "data/check.h"
#include "trainer/kernels/compute.h"

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
  EXPECT_EQ(choose_threads(*comm), static_cast<int>(allowed_cores().size()));
}

TEST(ChooseGpu, TakesTheLocalRanksGpuOrTheOnlyOneShown) {
  EXPECT_EQ(choose_gpu("auto", 0, 2, 0), -1);
  EXPECT_EQ(choose_gpu("cpu", 0, 2, 4), -1);
  EXPECT_EQ(choose_gpu("auto", 3, 4, 4), 3);
  EXPECT_EQ(choose_gpu("cuda", 1, 2, 4), 1);
  EXPECT_EQ(choose_gpu("cuda", 3, 4, 1), 0);  // Slurm shows each task its own GPU
  EXPECT_EQ(choose_gpu("cuda:2", 0, 1, 4), 2);
}

TEST(ChooseGpu, SaysWhatIsWrong) {
  EXPECT_THROW(choose_gpu("cuda", 0, 1, 0), Error);
  EXPECT_THROW(choose_gpu("cuda", 0, 3, 2), Error);
  for (const char* request : {"cuda:2", "cuda:", "cuda:x", "cuda:-1", "gpu", ""})
    EXPECT_THROW(choose_gpu(request, 0, 1, 2), Error);
}

TEST(VisibleGpus, ThereAreNoneInACpuBinary) { EXPECT_EQ(train::visible_gpus(), 0); }

}  // namespace
}  // namespace berth::launch
