// mpi_session's start-up check and signals; how jobs of several ranks end is in tests/mpi/.
#include <gtest/gtest.h>
#include <signal.h>

#include <map>
#include <string>

#include "launcher/mpi_session.h"
#include "launcher/signals.h"

namespace berth::launch {
namespace {

std::string problem(int size, const std::map<std::string, std::string>& env) {
  return launch_problem(size, [&](const char* name) {
    const auto found = env.find(name);
    return found == env.end() ? nullptr : found->second.c_str();
  });
}

TEST(LaunchProblem, IsSrunWithoutPmi) {
  EXPECT_EQ(problem(1, {}), "");
  EXPECT_EQ(problem(4, {{"SLURM_STEP_NUM_TASKS", "4"}}), "");
  EXPECT_EQ(problem(1, {{"SLURM_STEP_NUM_TASKS", "1"}}), "");
  EXPECT_EQ(problem(1, {{"SLURM_NTASKS", "4"}}), "");  // a command in a batch script, without srun
  EXPECT_EQ(problem(1, {{"SLURM_STEP_NUM_TASKS", "2"}, {"OMPI_COMM_WORLD_SIZE", "1"}}), "");
  const std::string found = problem(1, {{"SLURM_STEP_NUM_TASKS", "4"}});
  EXPECT_NE(found.find("srun started 4 tasks"), std::string::npos);
  EXPECT_NE(found.find("--mpi=pmix"), std::string::npos);
}

TEST(Signals, SetOneFlagThatKeepsTheFirst) {
  install_signal_handlers();
  EXPECT_EQ(stop_signal(), 0);
  raise(SIGUSR1);
  EXPECT_EQ(stop_signal(), SIGUSR1);
  raise(SIGTERM);
  raise(SIGUSR2);
  raise(SIGINT);
  EXPECT_EQ(stop_signal(), SIGUSR1);
  EXPECT_EXIT(raise(SIGINT), testing::ExitedWithCode(130), "");
}

}  // namespace
}  // namespace berth::launch
