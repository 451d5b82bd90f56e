#include "launcher/placement.h"

#include <gtest/gtest.h>

#include <fstream>
#include <numeric>
#include <thread>

#include "launcher/device.h"
#include "tests/support/temp_dir.h"

namespace berth::launch {
namespace {

std::vector<int> cores(int first, int last) {
  std::vector<int> result(static_cast<size_t>(last - first + 1));
  std::iota(result.begin(), result.end(), first);
  return result;
}

TEST(CoresNear, AreThoseThatSysfsNames) {
  const test::TempDir sysfs;
  const auto device = sysfs.path() / "bus/pci/devices/0000:65:00.0";
  std::filesystem::create_directories(device);
  EXPECT_TRUE(cores_near("0000:65:00.0", sysfs.path()).empty());
  for (const auto& [text, expected] :
       {std::pair("0-3,8,10-11\n", std::vector<int>{0, 1, 2, 3, 8, 10, 11}), std::pair("5", std::vector<int>{5}),
        std::pair("\n", std::vector<int>{}), std::pair("x,7,-2", std::vector<int>{7})}) {
    std::ofstream(device / "local_cpulist") << text;
    EXPECT_EQ(cores_near("0000:65:00.0", sysfs.path()), expected) << text;
  }
  EXPECT_TRUE(cores_near("0000:66:00.0", sysfs.path()).empty());
}

TEST(WholeCores, AreOneThreadOfEach) {
  const test::TempDir sysfs;
  for (const auto& [core, siblings] : {std::pair(0, "0,4"), std::pair(1, "1,5"), std::pair(4, "0,4"), std::pair(5, "1,5")}) {
    const auto topology = sysfs.path() / ("devices/system/cpu/cpu" + std::to_string(core)) / "topology";
    std::filesystem::create_directories(topology);
    std::ofstream(topology / "thread_siblings_list") << siblings << "\n";
  }
  EXPECT_EQ(whole_cores({0, 1, 4, 5}, sysfs.path()), (std::vector<int>{0, 1}));
  EXPECT_EQ(whole_cores({5, 4}, sysfs.path()), (std::vector<int>{0, 1}));
  EXPECT_EQ(whole_cores({1, 7}, sysfs.path()), (std::vector<int>{1, 7}));  // nothing is said of 7
}

// Two sockets of 16 cores with two GPUs each, and four ranks that nobody has bound.
TEST(CoresToKeep, AreNearTheGpu) {
  const RankCores first{cores(0, 31), cores(0, 15)}, second{cores(0, 31), cores(16, 31)};
  const std::vector<RankCores> host{first, first, second, second};
  EXPECT_EQ(cores_to_keep(host, 0), cores(0, 15));
  EXPECT_EQ(cores_to_keep(host, 3), cores(16, 31));
  EXPECT_EQ(cores_to_keep({first}, 0), cores(0, 15));
  // A cgroup with a part of both.
  EXPECT_EQ(cores_to_keep({{cores(8, 23), cores(16, 31)}}, 0), cores(16, 23));
}

TEST(CoresToKeep, AreLeftAloneWhereThatWouldBeWrong) {
  const std::vector<int> all = cores(0, 31), near = cores(0, 15);
  EXPECT_TRUE(cores_to_keep({{cores(0, 7), near}, {cores(8, 15), near}}, 0).empty()) << "the launcher has placed them";
  EXPECT_TRUE(cores_to_keep({{all, {}}}, 0).empty()) << "nothing is known";
  EXPECT_TRUE(cores_to_keep({{all, all}}, 0).empty()) << "one node";
  EXPECT_TRUE(cores_to_keep({{cores(16, 31), near}}, 0).empty()) << "it may not run there";
  EXPECT_TRUE(cores_to_keep({{cores(14, 31), near}}, 0).empty()) << "two are too few";
  EXPECT_TRUE(cores_to_keep(std::vector<RankCores>(8, {all, near}), 0).empty()) << "two for each are too few";
}

TEST(BindTo, HoldsForThisThreadAndItsOwn) {
  const std::vector<int> before = allowed_cores();
  std::thread([&] {
    ASSERT_TRUE(bind_to({before.back()}));
    std::thread([&] { EXPECT_EQ(allowed_cores(), std::vector<int>{before.back()}); }).join();
    const auto comm = comm::make_local_communicator();
    const std::string said = place_beside_gpu(*comm, "0000:ff:1f.7");
    for (const char* part : {"1 of 1 rank ", "--bind-to none", "--cpus-per-task"})
      EXPECT_NE(said.find(part), std::string::npos) << said;
  }).join();
  EXPECT_EQ(allowed_cores(), before);
  if (before.size() > 1) {
    const auto comm = comm::make_local_communicator();
    EXPECT_EQ(place_beside_gpu(*comm, "0000:ff:1f.7"), "");
  }
}

}  // namespace
}  // namespace berth::launch
