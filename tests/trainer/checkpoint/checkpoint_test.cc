#include "trainer/checkpoint/checkpoint.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>

#include "tests/trainer/checkpoint/tensor_test_util.h"
#include "trainer/checkpoint/model_path.h"

namespace berth::train {
namespace {

namespace fs = std::filesystem;

constexpr int kKilled = -SIGKILL;

class CheckpointTest : public ::testing::Test {
 protected:
  // "" or why it was not saved. The content depends on the step.
  static std::string save(const fs::path& run, int64_t step, bool model_alone = false) {
    const std::vector<float> moments = named_values("x", 100 + step);
    const auto write_model = [&](const fs::path& folder) -> std::vector<data::FileDigest> {
      return {data::write_durably(folder / "config.json", concat("{\"step\": ", step, "}")),
              data::write_durably(folder / "model.safetensors", safetensors_bytes({{"w", {step, 3}}}))};
    };
    const TensorView optimizer{"exp_avg.w", DType::kF32, {100 + step}, std::as_bytes(std::span(moments))};
    return save_checkpoint(run, {step, write_model, model_alone ? std::nullopt : std::optional(std::vector{optimizer}),
                                 concat("{\"global_step\": ", step, "}")});
  }
  void save_well(int64_t step) { ASSERT_EQ(save(run_, step), ""); }

  // Runs `work` in a child process: its return value, or minus the signal that ended it.
  template <class Work>
  static int in_child(Work work) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(work());
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
  }

  int64_t newest() {
    const CheckpointSearch search = find_newest_valid(run_);
    for (const std::string& warning : search.warnings) warnings_ += warning + "\n";
    return search.newest ? search.newest->step : -1;
  }
  void expect_loads(int64_t step) {
    const fs::path folder = run_ / concat("checkpoint-", step);
    EXPECT_EQ(read_values(parse_safetensors(open_bytes(folder / "model.safetensors")), "w"), named_values("w", 3 * step));
    EXPECT_EQ(read_values(parse_safetensors(open_bytes(folder / kOptimizerFile)), "exp_avg.w"), named_values("x", 100 + step));
    EXPECT_EQ(read_bytes(folder / kTrainerStateFile), concat("{\"global_step\": ", step, "}"));
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(run_)) names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }

  TempDir temp_;
  fs::path run_ = temp_ / "run";
  std::string warnings_;
};

TEST_F(CheckpointTest, TheNewestIsFound) {
  EXPECT_EQ(newest(), -1);
  for (int64_t step : {100, 20, 3}) save_well(step);
  EXPECT_EQ(newest(), 100);
  expect_loads(100);
  EXPECT_EQ(names(), (std::vector<std::string>{"checkpoint-100", "checkpoint-20", "checkpoint-3"}));
  EXPECT_TRUE(warnings_.empty());
}

TEST_F(CheckpointTest, OtherNamesAreNotCheckpoints) {
  for (const char* name :
       {"checkpoint-", "checkpoint-x", "checkpoint-05", "checkpoint--5", "checkpoint-5.bad", "checkpoint-99999999999999999999"})
    fs::create_directories(run_ / name);
  write_bytes(run_ / "checkpoint-7", "a file");
  EXPECT_TRUE(list_checkpoints(run_).empty());
}

class Killed : public CheckpointTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(Killed, InMidSaveTheNewestValidOneStillLoads) {
  save_well(1);
  const int end = in_child([&] {
    ::setenv("BERTH_FAILPOINT", GetParam(), 1);
    return save(run_, 2).empty() ? 0 : 1;
  });
  ASSERT_EQ(end, kKilled) << "the save never came to " << GetParam();
  remove_leftovers(run_);
  const int64_t expected = GetParam() == std::string("after-rename") ? 2 : 1;
  EXPECT_EQ(newest(), expected);
  expect_loads(expected);
  EXPECT_TRUE(warnings_.empty()) << warnings_;
  EXPECT_EQ(names().size(), static_cast<size_t>(expected));
  save_well(2);
  EXPECT_EQ(newest(), 2);
  expect_loads(2);
}

// The seventh write is the manifest's.
INSTANTIATE_TEST_SUITE_P(Failpoints, Killed,
                         ::testing::Values("write@1", "write@2", "write@3", "write@4", "write@5", "write@6", "write@7",
                                           "after-model", "after-optimizer", "before-manifest", "before-rename", "after-rename"));

TEST_F(CheckpointTest, KilledWhileReplacingACheckpointOfTheSameStep) {
  save_well(5);
  ASSERT_EQ(in_child([&] {
              ::setenv("BERTH_FAILPOINT", "after-rename", 1);
              return save(run_, 5).empty() ? 0 : 1;
            }),
            kKilled);
  EXPECT_EQ(names(), (std::vector<std::string>{"checkpoint-5", "checkpoint-5.old-berth"}));
  fs::remove_all(run_ / "checkpoint-5");  // as if killed between the two renames
  remove_leftovers(run_);
  EXPECT_EQ(names(), std::vector<std::string>{"checkpoint-5"});
  EXPECT_EQ(newest(), 5);
  save_well(5);
  EXPECT_EQ(names(), std::vector<std::string>{"checkpoint-5"});
}

// The power is cut at every operation of files, and at each point between them. What was said to be saved is there and whole.
class PowerCut : public CheckpointTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(PowerCut, WhatWasSaidToBeSavedIsThere) {
  for (int visit = 1, end = kKilled; end == kKilled; ++visit) {
    fs::remove_all(run_);
    fs::remove(temp_ / "said");
    const std::string point = concat(GetParam(), "@", visit, ":CUT");
    end = in_child([&] {
      ::setenv("BERTH_FAILPOINT", point.c_str(), 1);
      for (const int64_t step : {1, 2, 2, 3}) {
        if (!save(run_, step).empty()) return 1;
        write_bytes(temp_ / "said", concat(step));
        rotate_checkpoints(run_, 2, std::nullopt);
      }
      return 0;
    });
    const int64_t said = fs::exists(temp_ / "said") ? std::stoll(read_bytes(temp_ / "said")) : -1;
    if (fs::exists(run_)) remove_leftovers(run_);
    ASSERT_GE(newest(), said) << point;
    ASSERT_TRUE(warnings_.empty()) << point << ": " << warnings_;
    if (newest() > 0) expect_loads(newest());
    if (end != kKilled) {
      EXPECT_EQ(end, 0);
      EXPECT_GT(visit, 2) << "there is no such point";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Failpoints, PowerCut,
                         ::testing::Values("io", "after-model", "after-optimizer", "before-manifest", "after-manifest",
                                           "before-rename", "after-rename", "removal"));

class DiskTrouble : public CheckpointTest, public ::testing::WithParamInterface<std::pair<const char*, const char*>> {};

TEST_P(DiskTrouble, IsAWarningAndTheNextSaveSucceeds) {
  save_well(1);
  const int result = in_child([&] {
    ::setenv("BERTH_FAILPOINT", GetParam().first, 1);
    const std::string warning = save(run_, 2);
    if (warning.find(GetParam().second) == std::string::npos || warning.find("checkpoint-2 was not saved") == std::string::npos)
      return 1;
    if (names() != std::vector<std::string>{"checkpoint-1"}) return 2;
    return save(run_, 2).empty() ? 0 : 3;
  });
  EXPECT_EQ(result, 0);
  EXPECT_EQ(newest(), 2);
  expect_loads(1);
  expect_loads(2);
}

INSTANTIATE_TEST_SUITE_P(Failpoints, DiskTrouble,
                         ::testing::Values(std::pair("write@1:ENOSPC", "No space left on device"),
                                           std::pair("write@6:EDQUOT", "quota exceeded"),
                                           std::pair("write@3:EROFS", "Read-only file system"),
                                           std::pair("write@7:EIO", "Input/output error"),
                                           std::pair("before-rename:EIO", "Input/output error")));

TEST_F(CheckpointTest, ALimitOfTheSystemIsAWarning) {
  save_well(1);
  EXPECT_EQ(in_child([&] {
              ::signal(SIGXFSZ, SIG_IGN);
              const rlimit limit{500, 500};
              ::setrlimit(RLIMIT_FSIZE, &limit);
              return save(run_, 60).find("model.safetensors: cannot be written: File too large") == std::string::npos ? 1 : 0;
            }),
            0);
  EXPECT_EQ(names(), std::vector<std::string>{"checkpoint-1"});
}

TEST_F(CheckpointTest, ARunFolderThatIsAFileIsAWarning) {
  write_bytes(run_, "not a folder");
  EXPECT_NE(save(run_, 1), "");
}

// An error of the disk says nothing about the checkpoint: it is read again, and never renamed.
TEST_F(CheckpointTest, OneThatCannotBeReadIsNotDamaged) {
  using std::chrono::milliseconds;
  const std::array waits{milliseconds(0), milliseconds(0)};
  save_well(1);
  save_well(2);
  ::setenv("BERTH_FAILPOINT", "read@2:EIO", 1);
  EXPECT_EQ(find_newest_valid(run_, waits).newest->step, 2) << "read again, it was there";
  ::setenv("BERTH_FAILPOINT", "read@2+:EIO", 1);
  try {
    find_newest_valid(run_, waits);
    ADD_FAILURE() << "found without reading";
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_EQ(error.code(), ExitCode::kInternal);
    EXPECT_NE(message.find("checkpoint-2/"), std::string::npos) << message;
    EXPECT_NE(message.find("Input/output error"), std::string::npos) << message;
    EXPECT_NE(message.find("start again"), std::string::npos) << message;
  }
  ::unsetenv("BERTH_FAILPOINT");
  EXPECT_EQ(names(), (std::vector<std::string>{"checkpoint-1", "checkpoint-2"}));
  EXPECT_EQ(newest(), 2);
}

TEST_F(CheckpointTest, TakenAsAModelItIsVerifiedToo) {
  save_well(2);
  const fs::path folder = run_ / "checkpoint-2";
  EXPECT_EQ(resolve_model(folder.string()), folder);
  fs::remove(folder / kOptimizerFile);
  EXPECT_EQ(resolve_model(folder.string()), folder) << "a model needs no training state";
  test::flip_bit(folder / "model.safetensors", read_bytes(folder / "model.safetensors").size() - 1, 0);
  expect_refused([&] { resolve_model(folder.string()); },
                 {"model.safetensors", "damaged", "remove " + (folder / "manifest.json").string()});
  fs::remove(folder / kManifestName);
  EXPECT_EQ(resolve_model(folder.string()), folder) << "a folder from elsewhere has no manifest";
}

class DamagedFile : public CheckpointTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(DamagedFile, SetsTheCheckpointAside) {
  save_well(1);
  const std::string bytes = [&] {
    save_well(2);
    return read_bytes(run_ / "checkpoint-2" / GetParam());
  }();
  const fs::path file = run_ / "checkpoint-2" / GetParam();
  std::vector<std::string> damages{bytes.substr(0, bytes.size() / 2), "", bytes + "x"};
  for (size_t at : {size_t{0}, bytes.size() / 3, bytes.size() - 2}) {
    damages.push_back(bytes);
    damages.back()[at] = static_cast<char>(damages.back()[at] ^ 4);
  }
  for (size_t i = 0; i <= damages.size(); ++i) {
    if (i < damages.size()) {
      write_bytes(file, damages[i]);
    } else {
      fs::remove(file);
    }
    warnings_.clear();
    EXPECT_EQ(newest(), 1) << "damage " << i;
    // A damaged manifest may name any file of its folder.
    const fs::path named = GetParam() == kManifestName ? run_ / "checkpoint-2/" : file;
    EXPECT_NE(warnings_.find(named.string()), std::string::npos) << warnings_;
    EXPECT_NE(warnings_.find("set aside as " + (run_ / "checkpoint-2.bad").string()), std::string::npos) << warnings_;
    save_well(2);
    EXPECT_EQ(newest(), 2);
  }
}

INSTANTIATE_TEST_SUITE_P(Checkpoint, DamagedFile,
                         ::testing::Values("config.json", "model.safetensors", "optimizer.safetensors", "trainer_state.json",
                                           "manifest.json"));

TEST_F(CheckpointTest, NoneIsFoundWhereAllAreDamaged) {
  save_well(1);
  fs::resize_file(run_ / "checkpoint-1/model.safetensors", 10);
  EXPECT_EQ(newest(), -1);
  EXPECT_EQ(names(), std::vector<std::string>{"checkpoint-1.bad"});
}

TEST(Manifest, RefusesNamesOutsideItsFolder) {
  const std::string digest(64, 'a');
  for (const char* name : {"../config.json", "/etc/passwd", "..", "", "a/b"}) {
    expect_refused(
        [&] {
          parse_manifest(manifest_text(std::vector<data::FileDigest>{{name, 1, digest}}), "m");
        },
        {"not a file of its folder"});
  }
  expect_refused([&] { parse_manifest("{}", "m"); }, {"not the manifest"});
  expect_refused([&] { parse_manifest(R"({"format":"berth-checkpoint","version":2,"files":{}})", "m"); }, {"version 2"});
  expect_refused(
      [&] { parse_manifest(R"({"format":"berth-checkpoint","version":1,"files":{"a":{"size":-1,"sha256":""}}})", "m"); },
      {"lacks size or sha256 of a"});
}

TEST(Manifest, EveryTruncationAndFlippedByteIsReadOrRefused) {
  const std::vector<data::FileDigest> files{{"a", 1, data::sha256_hex("x")}, {"b", 2, data::sha256_hex("y")}};
  const std::string text = manifest_text(files);
  const size_t last_brace = text.rfind('}');
  for (size_t at = 0; at < text.size(); ++at) {
    EXPECT_EQ(refused_or_read([&] { parse_manifest(text.substr(0, at), "m"); }), at <= last_brace);
    std::string damaged = text;
    damaged[at] = static_cast<char>(damaged[at] ^ 8);
    refused_or_read([&] { parse_manifest(damaged, "m"); });
  }
}

TEST_F(CheckpointTest, RotationKeepsTheNewestValidAndTheBest) {
  for (int64_t step : {1, 2, 3, 4, 5}) save_well(step);
  EXPECT_TRUE(rotate_checkpoints(run_, 0, 1).empty());
  EXPECT_TRUE(rotate_checkpoints(run_, 5, 1).empty());
  EXPECT_EQ(rotate_checkpoints(run_, 3, 1).size(), 2u);
  EXPECT_EQ(names(), (std::vector<std::string>{"checkpoint-1", "checkpoint-4", "checkpoint-5"}));
  rotate_checkpoints(run_, 1, 1);
  EXPECT_EQ(names(), (std::vector<std::string>{"checkpoint-1", "checkpoint-5"}));
  rotate_checkpoints(run_, 1, std::nullopt);
  EXPECT_EQ(names(), std::vector<std::string>{"checkpoint-5"});
}

TEST_F(CheckpointTest, RotationNeverRemovesTheOnlyValidOne) {
  for (int64_t step : {1, 2, 3}) save_well(step);
  fs::remove(run_ / "checkpoint-2/manifest.json");
  fs::resize_file(run_ / "checkpoint-3/model.safetensors", 10);
  rotate_checkpoints(run_, 1, std::nullopt);
  EXPECT_EQ(newest(), 1);
  fs::remove(run_ / "checkpoint-1/manifest.json");
  save_well(2);
  fs::remove(run_ / "checkpoint-2/manifest.json");
  EXPECT_TRUE(rotate_checkpoints(run_, 1, std::nullopt).empty());
}

TEST_F(CheckpointTest, TheModelAloneIsNoCheckpointToGoOnFrom) {
  save_well(1);
  ASSERT_EQ(save(run_, 2, /*model_alone=*/true), "");
  ASSERT_EQ(save(run_, 3, /*model_alone=*/true), "");
  EXPECT_TRUE(holds_model_alone(run_ / "checkpoint-2"));
  EXPECT_FALSE(holds_model_alone(run_ / "checkpoint-1"));
  verify_checkpoint(run_ / "checkpoint-2");
  const CheckpointSearch search = find_newest_valid(run_);
  EXPECT_EQ(search.newest->step, 1);
  EXPECT_EQ(search.models.size(), 2u);
  EXPECT_TRUE(search.warnings.empty());
  fs::remove(run_ / "checkpoint-1" / kOptimizerFile);
  EXPECT_FALSE(holds_model_alone(run_ / "checkpoint-1")) << "its manifest says more";
  EXPECT_EQ(newest(), -1);
  EXPECT_NE(warnings_.find("optimizer.safetensors"), std::string::npos);
}

TEST_F(CheckpointTest, RotationKeepsOneToGoOnFrom) {
  save_well(1);
  for (int64_t step : {2, 3, 4}) ASSERT_EQ(save(run_, step, /*model_alone=*/true), "");
  rotate_checkpoints(run_, 2, std::nullopt);
  EXPECT_EQ(names(), (std::vector<std::string>{"checkpoint-1", "checkpoint-4"}));
  save_well(5);
  rotate_checkpoints(run_, 2, std::nullopt);
  EXPECT_EQ(names(), (std::vector<std::string>{"checkpoint-4", "checkpoint-5"}));
}

TEST_F(CheckpointTest, ARunThatGoesBackSupersedesLaterCheckpoints) {
  for (int64_t step : {1, 2, 3}) save_well(step);
  supersede_after(run_, 1);
  EXPECT_EQ(names(), (std::vector<std::string>{"checkpoint-1", "checkpoint-2.superseded", "checkpoint-3.superseded"}));
  save_well(2);
  supersede_after(run_, -1);
  EXPECT_EQ(newest(), -1);
  EXPECT_EQ(names().size(), 4u);
  save_well(5);
  remove_superseded(run_, {"checkpoint-3.superseded"});
  EXPECT_EQ(names(), (std::vector<std::string>{"checkpoint-3.superseded", "checkpoint-5"}));
}

TEST(RoomTest, IsWhatTheFileSystemSays) {
  const test::TempDir folder;
  EXPECT_EQ(no_room(folder.path(), 1), "");
  EXPECT_EQ(no_room(folder / "nothing", 1), "") << "it does not say";
  const std::string problem = no_room(folder.path(), uint64_t{1} << 62);
  EXPECT_TRUE(problem.starts_with("it takes 4.61169e+12 MB, and ")) << problem;
}

}  // namespace
}  // namespace berth::train
