// Whole jobs of the GPU program on the stand-ins, beside the CPU program, and with an NCCL that is late, hangs or fails.
#include "tests/standin/standin_job.h"

namespace berth::test {
namespace {

std::string cpu_program() { return std::string(BERTH_BINARY_DIR) + "/berth"; }

constexpr const char* kOptions =
    "--global-batch-size 12 --save-strategy no --ignore-mismatched-sizes --max-steps 8 "
    "--ddp-bucket-cap-mb 0.02 ";  // several buckets, reduced while backward goes on

class EachTask : public StandinJob, public testing::WithParamInterface<const char*> {};

// With dropout: masks are the CPU's.
TEST_P(EachTask, LossesAreTheCpusOnAnyRankCount) {
  const std::string task = GetParam(), options = kOptions + ("--data " + at(task + ".h5"));
  const JobResult on_cpu = run_shell(cpu_program() + " train --device cpu --model " + at("model") + " --output-dir " +
                                     at(task + "_cpu") + " --logging-steps 1 --learning-rate 1e-3 --disable-tqdm " + options);
  ASSERT_EQ(on_cpu.exit_code, 0) << on_cpu.err;
  ASSERT_EQ(losses(at(task + "_cpu")).size(), 8u);
  const std::vector<int> rank_counts = task == "data" ? std::vector{1, 2, 4, 8} : std::vector{2};
  for (const int ranks : rank_counts) {
    const std::string run = task + std::to_string(ranks);
    const JobResult result = train(run, options, ranks);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_NE(result.err.find(" NCCL "), std::string::npos) << result.err;
    expect_near(losses(at(run)), losses(at(task + "_cpu")), run);
  }
}
INSTANTIATE_TEST_SUITE_P(Tasks, EachTask, testing::ValuesIn(kTasks));

TEST_F(StandinJob, WhereMemoryDoesNotSufficeItSaysWhatToDo) {
  const JobResult result =
      train("too_large", "--per-device-train-batch-size 64 --data " + at("data.h5"), 1, {{"STANDIN_GPU_MB", "9"}});
  EXPECT_EQ(result.exit_code, 2);
  for (const char* part :
       {"does not suffice for a micro-batch of 64 samples", "--per-device-train-batch-size 32", "Tried to allocate"})
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
}

TEST_F(StandinJob, BitsDoNotDependOnWhenNcclIsThrough) {
  ASSERT_EQ(train("prompt", kOptions, 2).exit_code, 0);
  const JobResult late = train("late", kOptions, 2, {{"STANDIN_NCCL_DELAY_US", "5000"}});
  ASSERT_EQ(late.exit_code, 0) << late.err;
  EXPECT_TRUE(read_bytes(at("prompt") + "/model.safetensors") == read_bytes(at("late") + "/model.safetensors"));
}

TEST_F(StandinJob, ACollectiveThatHangsEndsTheJob) {
  const JobResult result = train("hangs", std::string(kOptions) + "--ddp-timeout 3", 3, {{"STANDIN_NCCL_HANG", "1:6"}});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find(" waits in vain for all-reduce of gradients (NCCL) in "), std::string::npos) << result.err;
}

TEST_F(StandinJob, ARankThatDoesNotComeToACollectiveIsNamed) {
  const JobResult result = train("stalls", std::string(kOptions) + "--ddp-timeout 3", 3, {{"STANDIN_NCCL_STALL", "1:6"}});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find("\n  rank 1 on host "), std::string::npos) << result.err;
  EXPECT_NE(result.err.find(" did not arrive: it is in \"step "), std::string::npos) << result.err;
  EXPECT_EQ(result.err.find("\n  rank 2 "), std::string::npos) << result.err;
}

TEST_F(StandinJob, AnErrorOfNcclEndsTheJob) {
  const JobResult result = train("fails", kOptions, 3, {{"STANDIN_NCCL_ERROR", "1:6"}});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find("berth: NCCL failed on rank 1: remote process exited"), std::string::npos) << result.err;
}

TEST_F(StandinJob, MoreRanksThanGpusAreRefused) {
  const JobResult result = train("crowded", kOptions, 3, {{"STANDIN_GPUS", "2"}});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.err.find("3 ranks on this host, but 2 GPUs"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace berth::test
