#include "trainer/check/resources.h"

#include "tests/trainer/check/judged.h"

namespace berth::preflight {
namespace {

TEST(Links, AreComparedWithWhatTheyCanDo) {
  expect(judge_links({.transport = "one process"}), Level::kOk, "one rank has nothing to tell others");
  // 32 MB in 10 ms: of a ring of two hosts each sends 32 MB.
  LinkFacts facts{
      .ranks = 4, .hosts = 2, .latency = 2e-5, .bytes = 32e6, .seconds = 0.01, .gradient_bytes = 320e6, .transport = "MPI"};
  expect(judge_links(facts), Level::kUnknown, "not known: what the link can do", "");
  facts.link = Link{"eth0", 3.1e9};
  expect(judge_links(facts), Level::kOk,
         "(3.2 GB/s between hosts), a short one 20 us, the gradient's 320 MB about 0.1 s; MPI; 103 % of eth0");
  facts.link = Link{"mlx5_0", 25e9};
  expect(judge_links(facts), Level::kWarning, "that is 12.8 % of the 25 GB/s of mlx5_0", "UCX_NET_DEVICES");
  facts.gpus = true;
  expect(judge_links(facts), Level::kWarning, "12.8 %", "NCCL_IB_HCA=mlx5_0");
}

TEST(Links, InOneHostMemoryCarriesThem) {
  LinkFacts facts{.ranks = 2, .latency = 2e-5, .bytes = 32e6, .seconds = 0.01, .transport = "MPI"};
  expect(judge_links(facts), Level::kOk, "3.2 GB/s between ranks");
  facts.seconds = 0.5;
  expect(judge_links(facts), Level::kWarning, "64 MB/s between ranks", "a core each");
  facts.seconds = 0.01;
  facts.transport = "MPI, 2 ranks on 1 host, no shared memory";
  expect(judge_links(facts), Level::kWarning, "no shared memory", "in one container");
}

TEST(Memory, OfTheLargestMicroBatch) {
  MemoryFacts facts{.micro_batch = "16 samples with 2048 tokens", .peak = 2e9, .left = 8'000'000'000, .least = "n1", .copy = 1e9};
  expect(judge_memory(facts), Level::kOk,
         "at most 2 GB a rank, measured with the largest micro-batch, 16 samples with 2048 tokens; 8 GB are left on n1");
  facts.left = 900'000'000;
  expect(judge_memory(facts), Level::kWarning, "each checkpoint is copied to 1 GB", "--mem");
  facts.left.reset();
  EXPECT_EQ(judge_memory(facts).level, Level::kUnknown);
  facts = {.gpu = true, .micro_batch = "16 samples", .peak = 60e9, .left = 1'000'000'000, .least = "the GPU of rank 3 on n1"};
  expect(judge_memory(facts), Level::kWarning, "1 GB are left on the GPU of rank 3", "--auto-find-batch-size");
  facts.fits = false;
  facts.advice = "about 8 samples would fit";
  expect(judge_memory(facts), Level::kError, "does not fit into the GPU's memory", "8 samples");
}

TEST(Memory, BeforeAModelIsLoaded) {
  EXPECT_FALSE(judge_loading(0, 1e9, 4, 4'000'000'000, "n1"));
  EXPECT_FALSE(judge_loading(2e9, 0.5e9, 4, 4'000'000'000, "n1"));
  EXPECT_FALSE(judge_loading(0, 1e12, 4, std::nullopt, "n1"));
  expect(*judge_loading(0, 1.2e9, 4, 4'000'000'000, "n1"), Level::kError, "takes 4.8 GB for 4 ranks on n1, where 4 GB are free",
         "fewer ranks");
  expect(*judge_loading(3e9, 0.5e9, 4, 4'000'000'000, "n1"), Level::kError, "takes 5 GB for 4 ranks on n1, where 4 GB are free",
         "fewer ranks");
}

TEST(Disk, HasRoomForWhatIsKept) {
  DiskFacts facts{.folder = "/runs", .model = 1e9, .checkpoint = 3e9, .checkpoints = 3, .left = 10'000'000'000};
  expect(judge_disk(facts), Level::kOk, "3 checkpoints of 3 GB and the final model take 10 GB, 10 GB are free in /runs");
  facts.left = 9'000'000'000;
  expect(judge_disk(facts), Level::kWarning, "9 GB are free", "smaller --save-total-limit");
  facts.keeps_all = true;
  expect(judge_disk(facts), Level::kWarning, "9 GB are free", "--save-total-limit 2");
  facts.left = 6'000'000'000;
  expect(judge_disk(facts), Level::kError, "6 GB are free", "another --output-dir");
  facts.checkpoints = 0;
  expect(judge_disk(facts), Level::kOk, "the final model takes 1 GB");
  facts.left.reset();
  EXPECT_EQ(judge_disk(facts).level, Level::kUnknown);
}

TEST(Time, FitsOrTakesSoManyJobs) {
  TimeFacts facts{.start = 10, .step = 0.5, .evaluation = 20, .save = 4, .steps = 2000, .evaluations = 3, .save_steps = 500};
  expect(judge_time(facts), Level::kOk, "about 18 min: 2000 steps of 0.5 s, 3 evaluations of 20 s; no time limit is known");
  facts.limit = 1200;
  expect(judge_time(facts), Level::kOk, "the job has 20 min: it fits");
  // 600 - 10 - 1.5 * 24.5 - 1 = 552 of 1060 seconds.
  facts.limit = 600;
  expect(judge_time(facts), Level::kWarning, "takes about 2 jobs of that length", "start the same command again");
  facts.limit = 150;
  expect(judge_time(facts), Level::kWarning, "no other checkpoint is written before", "--save-steps");
  facts.limit = 48;
  expect(judge_time(facts), Level::kError, "too little for one step and a checkpoint", "longer job");
}

}  // namespace
}  // namespace berth::preflight
