// mpi_session's start-up check and signals; how jobs of several ranks end is in tests/mpi/.
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>

#include <cstdlib>
#include <map>
#include <string>

#include "launcher/mpi_session.h"
#include "launcher/signals.h"

namespace berth::launch {
namespace {

using Environment = std::map<std::string, std::string>;

auto lookup(const Environment& env) {
  return [&env](const char* name) {
    const auto found = env.find(name);
    return found == env.end() ? nullptr : found->second.c_str();
  };
}

std::string problem(int size, const Environment& env) { return launch_problem(size, lookup(env)); }

TEST(StartedAlone, IsWhatNoLauncherHasGivenAPlace) {
  EXPECT_TRUE(started_alone(lookup({})));
  // Settings of Open MPI, a batch script, and srun without a protocol of start-up.
  EXPECT_TRUE(
      started_alone(lookup({{"OMPI_MCA_pml", "ob1"}, {"SLURM_JOB_ID", "7"}, {"SLURM_NTASKS", "4"}, {"SLURM_PROCID", "0"}})));
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_FD"})
    EXPECT_FALSE(started_alone(lookup({{name, "0"}}))) << name;
}

TEST(LaunchProblem, IsALauncherOfAnotherProtocol) {
  EXPECT_EQ(problem(1, {}), "");
  EXPECT_EQ(problem(4, {{"SLURM_STEP_NUM_TASKS", "4"}}), "");
  EXPECT_EQ(problem(1, {{"SLURM_STEP_NUM_TASKS", "1"}}), "");
  EXPECT_EQ(problem(1, {{"SLURM_NTASKS", "4"}}), "");  // a command in a batch script, without srun
  EXPECT_EQ(problem(1, {{"SLURM_STEP_NUM_TASKS", "2"}, {"OMPI_COMM_WORLD_SIZE", "1"}}), "");
  EXPECT_EQ(problem(1, {{"OMPI_COMM_WORLD_SIZE", "1"}, {"PMI_SIZE", "2"}}), "");
  EXPECT_EQ(problem(4, {{"PMI_SIZE", "4"}, {"PMI_RANK", "0"}}), "");
  // srun's own PMI and an MPI that does not know it; another MPI's mpirun.
  EXPECT_NE(problem(1, {{"PMI_RANK", "2"}, {"PMI_SIZE", "4"}, {"SLURM_STEP_NUM_TASKS", "4"}}).find("srun started 4 tasks"),
            std::string::npos);
  EXPECT_NE(problem(1, {{"PMI_RANK", "2"}, {"PMI_SIZE", "4"}}).find("4 processes were started, but MPI sees one rank"),
            std::string::npos);
  const std::string found = problem(1, {{"SLURM_STEP_NUM_TASKS", "4"}});
  EXPECT_NE(found.find("srun started 4 tasks"), std::string::npos);
  EXPECT_NE(found.find("--mpi=pmix"), std::string::npos);
}

// Each in a process of its own.
void exit_with_signal_after(int signal) {
  install_signal_handlers();
  raise(signal);
  std::_Exit(stop_signal());
}
TEST(Signals, AHangUpCountsUnlessNohupIgnoresIt) {
  EXPECT_EXIT(exit_with_signal_after(SIGHUP), testing::ExitedWithCode(SIGHUP), "");
  const auto nohup = [] {
    signal(SIGHUP, SIG_IGN);
    exit_with_signal_after(SIGHUP);
  };
  EXPECT_EXIT(nohup(), testing::ExitedWithCode(0), "");
}

TEST(Signals, EndCommandsThatDoNotPoll) {
  const auto later = [] {
    install_signal_handlers();
    restore_signals();
    raise(SIGTERM);
  };
  EXPECT_EXIT(later(), testing::KilledBySignal(SIGTERM), "");
  const auto earlier = [] {
    install_signal_handlers();
    raise(SIGUSR2);
    restore_signals();
  };
  EXPECT_EXIT(earlier(), testing::KilledBySignal(SIGUSR2), "");
}

// The last one: from here on this process has had a signal.
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
  pollfd readable{stop_signal_fd(), POLLIN, 0};
  EXPECT_EQ(poll(&readable, 1, 0), 1);
}

}  // namespace
}  // namespace berth::launch
