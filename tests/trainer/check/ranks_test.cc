#include "trainer/check/ranks.h"

#include <numeric>

#include "tests/trainer/check/judged.h"

namespace berth::preflight {
namespace {

std::vector<int> cores(int first, int number) {
  std::vector<int> list(static_cast<size_t>(number));
  std::iota(list.begin(), list.end(), first);
  return list;
}

RankFacts rank(const std::string& host = "n1") {
  return {.host = host,
          .berth = "berth 0.1.0",
          .libtorch = "libtorch 2.15.0, AVX512",
          .mpi = "Open MPI v4.1.4",
          .hdf5 = "1.10.8",
          .device = "cpu",
          .cores = cores(0, 8),
          .host_cores = 8,
          .threads = 4};
}

TEST(RankFacts, SurviveTheirWayToOtherRanks) {
  RankFacts facts = rank();
  facts.quota = 2.5;
  facts.memory = int64_t{1} << 40;
  facts.link = Link{"eth0", 1.25e9};
  facts.gpu = "0000:65:00.0";
  const RankFacts back = parse_facts(to_text(facts));
  EXPECT_EQ(back.cores, facts.cores);
  EXPECT_EQ(back.quota, facts.quota);
  EXPECT_EQ(back.memory, facts.memory);
  EXPECT_EQ(back.link->name, "eth0");
  EXPECT_EQ(back.gpu, facts.gpu);
  EXPECT_EQ(to_text(back), to_text(facts));
  EXPECT_FALSE(parse_facts(to_text(rank())).link);
}

TEST(Versions, AreTheSameEverywhere) {
  expect_one(judge_versions({rank(), rank("n2")}, "Open MPI v4.1.6", 2), Level::kOk, "Open MPI v4.1.4, HDF5 1.10.8, cpu");
  std::vector<RankFacts> ranks{rank(), rank("n2"), rank("n3")};
  ranks[2].libtorch = "libtorch 2.15.0, AVX2";
  expect_one(
      judge_versions(ranks, "", 0), Level::kWarning,
      "differ in libtorch or instruction set: libtorch 2.15.0, AVX512 on rank 0 (host n1), libtorch 2.15.0, AVX2 on rank 2 "
      "(host n3)",
      "hosts of one kind");
  ranks[1].berth = "berth 0.0.9";
  const Findings both = judge_versions(ranks, "", 0);
  ASSERT_EQ(both.size(), 2u);
  expect(both[0], Level::kError, "berth 0.0.9 on rank 1 (host n2)", "install one berth");
}

TEST(Versions, TheMpiIsTheOneBuiltForAndItsLauncherToo) {
  expect_one(judge_versions({rank()}, "MPICH 4.0.2", 1), Level::kError, "built for MPICH 4.0.2, and runs with Open MPI v4.1.4",
             "load");
  expect_one(judge_versions({rank()}, "Open MPI v5.0.1", 1), Level::kError, "built for Open MPI v5.0.1", "load");
  RankFacts intel = rank();
  intel.mpi = "Intel(R) MPI Library 2021.10";
  expect_one(judge_versions({intel}, "MPICH 4.0.2", 0), Level::kOk, "Intel");
  expect_one(judge_versions({rank()}, "Open MPI v4.1.4", 8), Level::kError,
             "the launcher started 8 processes, but MPI sees 1 rank: it is another MPI's than Open MPI v4.1.4", "own mpirun");
}

TEST(Versions, ClocksGoAlike) {
  std::vector<RankFacts> ranks{rank(), rank("n2")};
  ranks[1].clock = 90;
  const Findings findings = judge_versions(ranks, "", 0);
  ASSERT_EQ(findings.size(), 2u);
  expect(findings[1], Level::kWarning, "the clock of n2 is 90 s ahead of that of n1", "NTP");
}

TEST(Cores, AreEnoughForAllThreads) {
  expect_one(judge_places({rank(), rank()}, ""), Level::kOk, "2 ranks of 4 threads on 8 cores of 1 host");
  expect_one(judge_places({rank(), rank("n2")}, ""), Level::kOk, "on 16 cores of 2 hosts");
  expect_one(judge_places({rank(), rank(), rank()}, ""), Level::kWarning, "12 threads of 3 ranks share 8 cores of n1",
             "OMP_NUM_THREADS=2");
  RankFacts quota = rank();
  quota.quota = 2;
  expect_one(judge_places({quota}, ""), Level::kWarning, "4 threads on n1 share the time of 2 CPUs", "OMP_NUM_THREADS=2");
  RankFacts silent = rank();
  silent.cores.clear();
  expect_one(judge_places({silent}, ""), Level::kUnknown, "which cores");
}

TEST(Cores, BindingsThatStarveRanksAreNamed) {
  RankFacts one = rank();
  one.host_cores = 64;
  one.cores = {0};
  RankFacts two = one;
  // Both on core 0, of 64.
  expect_one(judge_places({one, two}, ""), Level::kWarning, "2 ranks with 8 threads in all, bound to 1 core of n1, which has 64",
             "--bind-to none, or --map-by slot:PE=32");
  // A core each, and a thread each: most of the host is idle.
  one.threads = two.threads = 1;
  two.cores = {1};
  expect_one(judge_places({one, two}, ""), Level::kWarning, "the ranks on n1 may use 2 of its 64 cores",
             "srun --cpus-per-task=32");
  // Bound well, but for one.
  one = two = rank();
  one.cores = cores(0, 2);
  two.cores = cores(2, 6);
  one.threads = 4;
  expect_one(judge_places({one, two}, ""), Level::kWarning, "a rank on n1 has 4 threads on 2 cores", "--bind-to");
}

TEST(Gpus, OneForEachRank) {
  RankFacts a = rank(), b = rank();
  a.gpu = "0000:01:00.0";
  b.gpu = "0000:02:00.0";
  a.visible_gpus = b.visible_gpus = 2;
  Findings findings = judge_places({a, b}, "");
  ASSERT_EQ(findings.size(), 2u);
  expect(findings[0], Level::kOk, "one for each of 2 ranks");
  a.visible_gpus = b.visible_gpus = 8;
  expect(judge_places({a, b}, "")[0], Level::kWarning, "2 ranks on n1 for 8 GPUs: 6 are idle", "mpirun -np 8");
  a.visible_gpus = b.visible_gpus = 1;  // Slurm shows each its own
  expect(judge_places({a, b}, "")[0], Level::kOk, "one for each");
  findings = judge_places({rank(), rank()}, "2 ranks on this host, but 1 GPU: start at most one rank per GPU");
  EXPECT_EQ(findings[0].level, Level::kError);
  EXPECT_EQ(findings[0].name, "gpus");
}

}  // namespace
}  // namespace berth::preflight
