#include "trainer/run/run_folder.h"

#include <gtest/gtest.h>

#include "tests/trainer/run/tiny_run.h"
#include "trainer/run/train_loop.h"

namespace berth::train {
namespace {

namespace fs = std::filesystem;

class RunFolderTest : public TinyRun {
 protected:
  // A run of ten steps with checkpoints after steps 4, 8 and 10, killed after the last of them.
  void SetUp() override {
    TrainOptions o = options();
    o.eval_save.save_strategy = Strategy::kSteps;
    o.eval_save.save_steps = 4;
    const RunFolder folder(o, *comm_);
    ASSERT_EQ(train(o, folder, *comm_, {.stop = [] { return false; }}), TrainOutcome::kDone);
    fs::remove(run() / kTrainerStateFile);
  }

  ResumePoint resume(const TrainOptions& o) { return RunFolder(o, *comm_).find_resume_point(o, *comm_); }
};

TEST_F(RunFolderTest, GoesOnFromTheNewestCheckpoint) {
  const ResumePoint point = resume(options());
  EXPECT_EQ(point.folder, checkpoint(10));
  ASSERT_TRUE(point.state);
  EXPECT_EQ(point.state->global_step, 10);
  EXPECT_FALSE(point.finished);
}

TEST_F(RunFolderTest, SetsADamagedCheckpointAside) {
  test::flip_bit(checkpoint(10) / "model.safetensors", 1000, 3);
  const ResumePoint point = resume(options());
  EXPECT_EQ(point.folder, checkpoint(8));
  EXPECT_FALSE(fs::exists(checkpoint(10)));
  EXPECT_TRUE(fs::exists(checkpoint(10).string() + ".bad"));
}

TEST_F(RunFolderTest, GoesOnFromTheCheckpointThatIsNamed) {
  TrainOptions o = options();
  o.resume = parse_resume(checkpoint(4).string());
  const ResumePoint point = resume(o);
  EXPECT_EQ(point.folder, checkpoint(4));
  EXPECT_EQ(point.state->global_step, 4);
  EXPECT_FALSE(fs::exists(checkpoint(8))) << "of a branch that is given up";
  EXPECT_TRUE(fs::exists(checkpoint(8).string() + ".superseded"));
}

// A requeued job has the same command line, also after the checkpoint that it names was rotated out.
TEST_F(RunFolderTest, ANamedCheckpointIsAStartNotALoop) {
  TrainOptions o = options();
  o.resume = parse_resume(checkpoint(4).string());
  int64_t asked = 0;
  ASSERT_EQ(train(o, RunFolder(o, *comm_), *comm_, {.stop = [&] { return asked++ == 2; }}), TrainOutcome::kStoppedEarly);
  EXPECT_EQ(resume(o).folder, checkpoint(6));
  fs::remove_all(checkpoint(4));
  EXPECT_EQ(resume(o).folder, checkpoint(6));
  EXPECT_EQ(resume(options()).folder, checkpoint(6));
  EXPECT_EQ(resume(options()).state->started_from, "checkpoint-4");
  EXPECT_FALSE(fs::exists(checkpoint(6).string() + ".superseded"));

  o.resume = parse_resume(checkpoint(8).string() + ".superseded");
  EXPECT_EQ(resume(o).state->global_step, 8) << "another checkpoint is another start";
  EXPECT_TRUE(fs::exists(checkpoint(6))) << "which is earlier than that";
}

TEST_F(RunFolderTest, AfterTheEndABranchThatBeganFromANamedCheckpointIsComplete) {
  TrainOptions o = options();
  const fs::path other = folder_ / "checkpoint-8";
  fs::copy(checkpoint(8), other);
  o.resume = parse_resume(checkpoint(4).string());
  ASSERT_EQ(train(o, RunFolder(o, *comm_), *comm_, {.stop = [] { return false; }}), TrainOutcome::kDone);
  const ResumePoint again = resume(o);
  ASSERT_TRUE(again.finished);
  EXPECT_TRUE(again.finished->complete);
  o.resume = parse_resume(other.string());
  EXPECT_FALSE(resume(o).finished) << "another start is not complete";
}

TEST_F(RunFolderTest, ANamedCheckpointThatIsNoFolderIsAUsageErrorAndADamagedOneBadInput) {
  TrainOptions o = options();
  o.resume = parse_resume("newest");
  EXPECT_EQ(outcome_of([&] { resume(o); }).code, ExitCode::kUsage);
  test::flip_bit(checkpoint(4) / "model.safetensors", 1000, 3);
  o.resume = parse_resume(checkpoint(4).string());
  const Outcome damaged = outcome_of([&] { resume(o); });
  EXPECT_EQ(damaged.code, ExitCode::kBadInput);
  EXPECT_NE(damaged.message.find("model.safetensors"), std::string::npos) << damaged.message;
  EXPECT_TRUE(fs::exists(checkpoint(4))) << "one that is named is not set aside";
}

TEST_F(RunFolderTest, AfreshOnlyWhereThereIsNoRunOrItMayBeOverwritten) {
  for (const char* word : {"none", "false"}) {
    TrainOptions o = options();
    o.resume = parse_resume(word);
    const Outcome refused = outcome_of([&] { RunFolder(o, *comm_); });
    EXPECT_EQ(refused.code, ExitCode::kUsage) << word;
    EXPECT_NE(refused.message.find("--overwrite-output-dir"), std::string::npos) << refused.message;
  }
  TrainOptions o = options();
  o.overwrite_output_dir = true;
  EXPECT_TRUE(resume(o).folder.empty());
  EXPECT_TRUE(list_checkpoints(run()).empty());
}

TEST_F(RunFolderTest, AnOverwrittenRunsRecordsAreSetAside) {
  const std::vector<std::string> records{"metrics.jsonl", "all_results.json", "train_results.json", "provenance.json",
                                         "tensorboard/events"};
  for (const std::string& name : records) test::write_bytes(run() / name, "the earlier run's");
  test::write_bytes(run() / "berth.log", "all jobs'");
  resume(options());
  for (const std::string& name : records) EXPECT_TRUE(fs::exists(run() / name)) << name;
  TrainOptions o = options();
  o.overwrite_output_dir = true;
  resume(o);
  for (const std::string& name : records) EXPECT_FALSE(fs::exists(run() / name)) << name;
  EXPECT_EQ(test::read_bytes(run() / "metrics.jsonl.superseded"), "the earlier run's");
  EXPECT_TRUE(fs::exists(run() / "tensorboard.superseded/events"));
  EXPECT_EQ(test::read_bytes(run() / "berth.log"), "all jobs'");
}

// What is there, by name, with the time of its last change.
std::map<std::string, fs::file_time_type> files_of(const fs::path& folder) {
  std::map<std::string, fs::file_time_type> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files[entry.path().string()] = entry.last_write_time();
  return files;
}

TEST_F(RunFolderTest, LookingChangesNothingAndFindsTheSame) {
  test::flip_bit(checkpoint(10) / "model.safetensors", 1000, 3);
  const auto before = files_of(folder_.path());
  const auto looked = [&](const TrainOptions& o) {
    return RunFolder(o, *comm_, RunFolder::Use::kLook).find_resume_point(o, *comm_);
  };
  EXPECT_EQ(looked(options()).folder, checkpoint(8));
  TrainOptions o = options();
  o.resume = parse_resume(checkpoint(4).string());
  EXPECT_EQ(looked(o).folder, checkpoint(4));
  o = options();
  o.overwrite_output_dir = true;
  EXPECT_TRUE(looked(o).folder.empty());
  o = options();
  o.resume = parse_resume("none");
  EXPECT_EQ(outcome_of([&] { looked(o); }).message, outcome_of([&] { RunFolder(o, *comm_); }).message);
  o = options();
  o.output_dir = folder_ / "new/run";
  EXPECT_FALSE(looked(o).state);
  o.output_dir = checkpoint(4) / "config.json/run";
  EXPECT_EQ(outcome_of([&] { looked(o); }).message, outcome_of([&] { RunFolder(o, *comm_); }).message);
  EXPECT_EQ(files_of(folder_.path()), before);
  const RunFolder owner(options(), *comm_);
  const std::string refused = outcome_of([&] { looked(options()); }).message;
  EXPECT_NE(refused.find("another job is writing to this run folder"), std::string::npos) << refused;
}

TEST_F(RunFolderTest, AFileInItsPlaceIsBadInput) {
  TrainOptions o = options();
  o.output_dir = test::write_bytes(folder_ / "file", "x");
  EXPECT_EQ(outcome_of([&] { RunFolder(o, *comm_); }).code, ExitCode::kBadInput);
}

}  // namespace
}  // namespace berth::train
