#include "trainer/check/host.h"

#include <gtest/gtest.h>

#include "tests/support/temp_dir.h"

namespace berth::preflight {
namespace {

using test::write_bytes;

class HostTest : public testing::Test {
 protected:
  void put(const std::string& path, const std::string& text) { write_bytes(root_.path() / path, text + "\n"); }
  test::TempDir root_;
};

TEST_F(HostTest, MemoryIsTheLeastOfHostAndLimits) {
  EXPECT_FALSE(available_memory(root_.path()));
  put("proc/meminfo", "MemTotal: 200 kB\nMemAvailable:   100 kB");
  EXPECT_EQ(available_memory(root_.path()), 102400);
  // Slurm's limit is of the job, above the task.
  put("proc/self/cgroup", "0::/job/task");
  put("sys/fs/cgroup/job/task/memory.max", "max");
  put("sys/fs/cgroup/job/task/memory.current", "10");
  put("sys/fs/cgroup/job/memory.max", "50000");
  put("sys/fs/cgroup/job/memory.current", "30000");
  EXPECT_EQ(available_memory(root_.path()), 20000);
  put("sys/fs/cgroup/job/memory.stat", "anon 20000\ninactive_file 5000");
  EXPECT_EQ(available_memory(root_.path()), 25000);
  // Version 1, as seen in a container: its path is one of the host's.
  put("proc/self/cgroup", "5:cpu,cpuacct:/docker/x\n4:memory:/docker/x");
  put("sys/fs/cgroup/memory/memory.limit_in_bytes", "7000");
  put("sys/fs/cgroup/memory/memory.usage_in_bytes", "9000");
  EXPECT_EQ(available_memory(root_.path()), 0);
}

TEST_F(HostTest, QuotasOfProcessorTime) {
  EXPECT_FALSE(cpu_quota(root_.path()));
  put("proc/self/cgroup", "0::/");
  put("sys/fs/cgroup/cpu.max", "max 100000");
  EXPECT_FALSE(cpu_quota(root_.path()));
  put("sys/fs/cgroup/cpu.max", "250000 100000");
  EXPECT_EQ(cpu_quota(root_.path()), 2.5);
}

TEST_F(HostTest, TheFastestLinkThatIsUp) {
  EXPECT_FALSE(fastest_link(root_.path()));
  put("sys/class/net/lo/operstate", "unknown");
  put("sys/class/net/eth0/operstate", "up");
  put("sys/class/net/eth0/speed", "10000");
  EXPECT_FALSE(fastest_link(root_.path())) << "one without a device is virtual";
  put("sys/class/net/eth0/device/vendor", "x");
  put("sys/class/net/eth1/operstate", "down");
  put("sys/class/net/eth1/speed", "100000");
  put("sys/class/net/eth1/device/vendor", "x");
  EXPECT_EQ(fastest_link(root_.path())->name, "eth0");
  EXPECT_EQ(fastest_link(root_.path())->bandwidth, 1.25e9);
  put("sys/class/infiniband/mlx5_0/ports/1/state", "4: ACTIVE");
  put("sys/class/infiniband/mlx5_0/ports/1/rate", "200 Gb/sec (4X HDR)");
  EXPECT_EQ(fastest_link(root_.path())->name, "mlx5_0");
  EXPECT_EQ(fastest_link(root_.path())->bandwidth, 25e9);
}

}  // namespace
}  // namespace berth::preflight
