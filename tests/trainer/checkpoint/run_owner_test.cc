#include "trainer/checkpoint/run_owner.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "tests/trainer/checkpoint/tensor_test_util.h"
#include "trainer/checkpoint/provenance.h"

namespace berth::train {
namespace {

using std::chrono::milliseconds;

// Ends at the first heartbeat it sees; only an owner that is dead costs the patience.
const OwnerOptions kAlive{milliseconds(5), milliseconds(60'000), {}}, kDead{milliseconds(60'000), milliseconds(50), {}};

// Between this process and its children.
class Pipe {
 public:
  Pipe() { EXPECT_EQ(::pipe(ends_), 0); }
  ~Pipe() { end(), ::close(ends_[0]); }
  void put(char c) { EXPECT_EQ(::write(ends_[1], &c, 1), 1); }
  char get() {
    char c = 0;
    EXPECT_EQ(::read(ends_[0], &c, 1), 1);
    return c;
  }
  // A child waits until the parent, and every child that was given this pipe, has ended it.
  void wait() {
    char c = 0;
    end();
    EXPECT_EQ(::read(ends_[0], &c, 1), 0);
  }
  void end() {
    if (std::exchange(open_, false)) ::close(ends_[1]);
  }

 private:
  int ends_[2] = {-1, -1};
  bool open_ = true;
};

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

// Jobs that start at the same moment, where nobody was before and where a dead job was: one gets the folder, whatever the order.
TEST_F(RunOwnerTest, OfSeveralThatStartTogetherOneWins) {
  constexpr int kStarters = 6, kRounds = 40;
  for (int round = 0; round < kRounds; ++round) {
    const std::filesystem::path run = folder_ / concat("run", round);
    if (round % 2 == 1) {
      OwnerIdentity dead = OwnerIdentity::of_this_process();
      dead.start_ticks -= 1;
      std::filesystem::create_directories(run);
      const pid_t child = ::fork();
      if (child == 0) {
        const RunOwner owner(run, dead);
        ::_exit(0);
      }
      ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    }
    Pipe go, result, done;
    for (int i = 0; i < kStarters; ++i) {
      if (::fork() != 0) continue;
      go.wait();
      try {
        const RunOwner owner(run);
        owner.check_still_owner();
        result.put('w');
        done.wait();
      } catch (const Error&) {
        result.put('l');
      }
      ::_exit(0);
    }
    go.end();
    std::string results;
    for (int i = 0; i < kStarters; ++i) results += result.get();
    done.end();
    for (int i = 0; i < kStarters; ++i) ASSERT_GT(::wait(nullptr), 0);
    ASSERT_EQ(std::count(results.begin(), results.end(), 'w'), 1) << results << " in round " << round;
  }
}

TEST_F(RunOwnerTest, SaysWhatItWaitsFor) {
  const RunOwner owner(folder_.path(), on_other_host(), kDead);
  OwnerOptions options = kDead;
  std::string told;
  options.tell_waiting = [&](const std::string& why) { told = why; };
  const RunOwner second(folder_.path(), OwnerIdentity::of_this_process(), options);
  EXPECT_NE(told.find(concat("process ", ::getpid(), " on elsewhere")), std::string::npos) << told;
  EXPECT_NE(told.find("waiting up to 1 s"), std::string::npos) << told;
}

TEST_F(RunOwnerTest, ARecordThatCannotBeReadIsNobodysLoss) {
  const RunOwner owner(folder_.path());
  ::setenv("BERTH_FAILPOINT", "read@1+:EIO", 1);
  EXPECT_NO_THROW(owner.check_still_owner());
  expect_refused([&] { RunOwner second(folder_.path(), on_other_host()); }, {"cannot be read: Input/output error"});
  ::unsetenv("BERTH_FAILPOINT");
  owner.check_still_owner();
}

TEST_F(RunOwnerTest, ADamagedRecordOwnsNothing) {
  for (
      const char* text :
      {"", "{", "[1]", R"({"host": 3})",
       R"({"host": "", "boot_id": "", "pid_namespace": "", "pid": 1e300, "start_ticks": 1, "slurm_job_id": "", "slurm_restarts": 0, "started": ""})"}) {
    write_bytes(record_, text);
    RunOwner(folder_.path(), OwnerIdentity::of_this_process(), kAlive).check_still_owner();
  }
}

TEST_F(RunOwnerTest, AnOutputFolderThatCannotBeMadeIsRefused) {
  write_bytes(folder_ / "file", "x");
  expect_refused([&] { RunOwner owner(folder_ / "file/run"); }, {"file/run: cannot be made"});
  expect_refused([&] { RunOwner owner("/proc/self"); }, {"/proc/self: the output folder cannot be written"});
}

TEST(Provenance, ListsTheJobsOfTheChain) {
  const TempDir run;
  const auto record = [&](const std::string& job, int64_t from_step, const std::string& model = "def") {
    write_provenance(run.path(), {.berth_version = "0.1.0",
                                  .options = {{"learning_rate", 5e-5}},
                                  .data_sha256 = {{"d.h5", "abc"}},
                                  .model_sha256 = {{"model.safetensors", model}},
                                  .job = {job, {"n1", "n2"}, "cpu", 4, 16, "now", from_step}});
    return nlohmann::json::parse(read_bytes(run / "provenance.json"));
  };
  record("0", 0);
  EXPECT_EQ(record("1", 0)["jobs"].size(), 1u);
  const auto chain = record("2", 500, "that of checkpoint-500");
  ASSERT_EQ(chain["jobs"].size(), 2u);
  EXPECT_EQ(chain["jobs"][0]["slurm_job_id"], "1");
  EXPECT_EQ(chain["jobs"][1]["from_step"], 500);
  EXPECT_EQ(chain["jobs"][1]["device"], "cpu");
  EXPECT_EQ(chain["jobs"][1]["hosts"], (std::vector<std::string>{"n1", "n2"}));
  EXPECT_EQ(chain["data"]["d.h5"], "abc");
  EXPECT_EQ(chain["model"]["model.safetensors"], "def") << "what the run began with";
  EXPECT_EQ(chain["options"]["learning_rate"], 5e-5);
  write_bytes(run / "provenance.json", "damaged");
  EXPECT_EQ(record("3", 700)["jobs"].size(), 1u);
}

}  // namespace
}  // namespace berth::train
