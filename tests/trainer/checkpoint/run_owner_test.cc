#include "trainer/checkpoint/run_owner.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "tests/trainer/checkpoint/tensor_test_util.h"
#include "trainer/checkpoint/provenance.h"

namespace berth::train {
namespace {

using std::chrono::milliseconds;

// Ends at the first heartbeat it sees; only an owner that is dead costs the patience.
constexpr OwnerOptions kAlive{milliseconds(5), milliseconds(60'000)}, kDead{milliseconds(60'000), milliseconds(50)};

class RunOwnerTest : public ::testing::Test {
 protected:
  static OwnerIdentity on_other_host() {
    OwnerIdentity identity = OwnerIdentity::of_this_process();
    identity.host = "elsewhere";
    return identity;
  }
  TempDir folder_;
  std::filesystem::path record_ = folder_ / ".berth-owner.json";
};

TEST_F(RunOwnerTest, ASecondLiveJobIsRefusedAtOnceOnTheSameHost) {
  const RunOwner owner(folder_.path());
  owner.check_still_owner();
  expect_refused([&] { RunOwner second(folder_.path()); },
                 {"another job is writing to this run folder", concat("process ", ::getpid()), "another --output-dir"});
  owner.check_still_owner();
}

TEST_F(RunOwnerTest, TheRecordGoesWithItsOwner) {
  { const RunOwner owner(folder_ / "new/run"); }
  EXPECT_FALSE(std::filesystem::exists(folder_ / "new/run/.berth-owner.json"));
  const RunOwner next(folder_ / "new/run");
}

TEST_F(RunOwnerTest, ADeadProcessLosesTheFolderAtOnce) {
  const pid_t child = ::fork();
  if (child == 0) {
    const RunOwner owner(folder_.path());
    ::_exit(0);  // without destructors: the record stays
  }
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  ASSERT_TRUE(std::filesystem::exists(record_));
  const RunOwner owner(folder_.path(), OwnerIdentity::of_this_process(), kAlive);
  owner.check_still_owner();
}

TEST_F(RunOwnerTest, AReusedProcessNumberIsNotTheOwner) {
  OwnerIdentity earlier = OwnerIdentity::of_this_process();
  earlier.start_ticks -= 1;
  const RunOwner first(folder_.path(), earlier);
  const RunOwner second(folder_.path(), OwnerIdentity::of_this_process(), kAlive);
  second.check_still_owner();
  expect_refused([&] { first.check_still_owner(); }, {"was taken over by another job", "nothing more is written"});
}

TEST_F(RunOwnerTest, AnOwnerElsewhereIsAliveWhileItsHeartBeats) {
  const RunOwner owner(folder_.path(), on_other_host(), kAlive);
  expect_refused([&] { RunOwner second(folder_.path(), OwnerIdentity::of_this_process(), kAlive); }, {"on elsewhere"});
}

TEST_F(RunOwnerTest, ASilentOwnerElsewhereLosesTheFolder) {
  const RunOwner owner(folder_.path(), on_other_host(), kDead);
  const RunOwner second(folder_.path(), OwnerIdentity::of_this_process(), kDead);
  expect_refused([&] { owner.check_still_owner(); }, {"taken over"});
}

TEST_F(RunOwnerTest, ARequeuedSlurmJobTakesItsFolderBackAtOnce) {
  OwnerIdentity before = on_other_host(), after = OwnerIdentity::of_this_process();
  before.slurm_job_id = after.slurm_job_id = "17";
  after.slurm_restarts = 1;
  const RunOwner first(folder_.path(), before, kAlive);
  const RunOwner second(folder_.path(), after, kAlive);
  second.check_still_owner();
  before.slurm_restarts = 2;
  before.slurm_job_id = "18";
  expect_refused([&] { RunOwner third(folder_.path(), after, kAlive); }, {"Slurm job 17"});
}

TEST_F(RunOwnerTest, ADamagedRecordOwnsNothing) {
  for (const char* text : {"", "{", "[1]", R"({"host": 3})"}) {
    write_bytes(record_, text);
    RunOwner(folder_.path(), OwnerIdentity::of_this_process(), kAlive).check_still_owner();
  }
}

TEST_F(RunOwnerTest, AnOutputFolderThatCannotBeMadeIsRefused) {
  write_bytes(folder_ / "file", "x");
  expect_refused([&] { RunOwner owner(folder_ / "file/run"); }, {"file/run", "cannot be made"});
  expect_refused([&] { RunOwner owner("/proc/self"); }, {"/proc/self: the output folder cannot be written"});
}

TEST(Provenance, ListsTheJobsOfTheChain) {
  const TempDir run;
  const auto record = [&](const std::string& job, int64_t from_step) {
    write_provenance(run.path(), {"0.1.0",
                                  {{"learning_rate", 5e-5}},
                                  {{"d.h5", "abc"}},
                                  {{"model.safetensors", "def"}},
                                  {job, {"n1", "n2"}, 4, "now", from_step}});
    return nlohmann::json::parse(read_bytes(run / "provenance.json"));
  };
  record("0", 0);
  EXPECT_EQ(record("1", 0)["jobs"].size(), 1u);
  const auto chain = record("2", 500);
  ASSERT_EQ(chain["jobs"].size(), 2u);
  EXPECT_EQ(chain["jobs"][0]["slurm_job_id"], "1");
  EXPECT_EQ(chain["jobs"][1]["from_step"], 500);
  EXPECT_EQ(chain["jobs"][1]["hosts"], (std::vector<std::string>{"n1", "n2"}));
  EXPECT_EQ(chain["data"]["d.h5"], "abc");
  EXPECT_EQ(chain["options"]["learning_rate"], 5e-5);
  write_bytes(run / "provenance.json", "damaged");
  EXPECT_EQ(record("3", 700)["jobs"].size(), 1u);
}

}  // namespace
}  // namespace berth::train
