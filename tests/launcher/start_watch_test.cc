#include "launcher/start_watch.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>

namespace berth::launch {
namespace {

std::optional<RankPlace> place_in(const std::map<std::string, std::string>& env) {
  return find_place([&](const char* name) {
    const auto found = env.find(name);
    return found == env.end() ? nullptr : found->second.c_str();
  });
}

TEST(StartWatch, FindsItsPlaceInWhatMpirunAndSrunSay) {
  EXPECT_FALSE(place_in({}));
  const auto mpirun = place_in({{"PMIX_NAMESPACE", "7"},
                                {"OMPI_COMM_WORLD_RANK", "5"},
                                {"OMPI_COMM_WORLD_SIZE", "8"},
                                {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                                {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"}});
  ASSERT_TRUE(mpirun);
  EXPECT_EQ(std::tie(mpirun->rank, mpirun->size, mpirun->local_rank, mpirun->local_size), std::make_tuple(5, 8, 1, 4));
  std::map<std::string, std::string> slurm{{"PMIX_NAMESPACE", "slurm.pmix.9.0"},
                                           {"SLURM_PROCID", "6"},
                                           {"SLURM_STEP_NUM_TASKS", "7"},
                                           {"SLURM_LOCALID", "0"},
                                           {"SLURM_STEP_TASKS_PER_NODE", "2(x3),1"}};
  EXPECT_FALSE(place_in(slurm)) << "on which node?";
  slurm["SLURM_NODEID"] = "2";
  EXPECT_EQ(place_in(slurm)->local_size, 2);
  slurm["SLURM_NODEID"] = "3";
  EXPECT_EQ(place_in(slurm)->local_size, 1);
  slurm["SLURM_NODEID"] = "4";
  EXPECT_FALSE(place_in(slurm));
  slurm["SLURM_STEP_TASKS_PER_NODE"] = "2(x";
  EXPECT_FALSE(place_in(slurm));
}

TEST(StartWatch, TellsRanksThatAreNotThereFromThoseThatAreStopped) {
  RankPlace place{.job = "test-" + std::to_string(getpid()), .rank = 0, .size = 3, .local_rank = 0, .local_size = 3};
  const Presence here(place);
  const pid_t child = fork();
  if (child == 0) {
    place.local_rank = place.rank = 2;
    const Presence there(place);
    raise(SIGSTOP);
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, WUNTRACED), child);
  ASSERT_TRUE(WIFSTOPPED(status));
  const std::string absent = "\n  rank 1 on host h is not there";
  std::string missing = missing_ranks(place, "h");
  EXPECT_TRUE(missing.starts_with(absent)) << missing;
  EXPECT_NE(missing.find("\n  rank 2 on host h is stopped: kill -CONT " + std::to_string(child)), std::string::npos) << missing;

  kill(child, SIGKILL);
  ASSERT_EQ(waitpid(child, &status, 0), child);
  missing = missing_ranks(place, "h");
  EXPECT_NE(missing.find("\n  rank 2 on host h is not there"), std::string::npos) << missing;
  place.size = 5;
  EXPECT_NE(missing_ranks(place, "h").find("\n  local rank 2 of host h is not there"), std::string::npos);
}

}  // namespace
}  // namespace berth::launch
