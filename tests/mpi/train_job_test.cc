// Whole training jobs: the real program on real ranks.
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/tiny_job.h"

namespace berth::test {
namespace {

namespace fs = std::filesystem;

using TrainJob = TinyJob;

// 125 samples in batches of 12: uneven lengths, uneven shares, and a last batch of 5.
TEST_F(TrainJob, SameLossesOnAnyRankCount) {
  const std::string options =
      "--global-batch-size 12 --num-train-epochs 2 --hidden-dropout-prob 0 --attention-probs-dropout-prob 0 --eval-strategy "
      "epoch --save-strategy no";
  ASSERT_EQ(train("ranks1", options, 1).exit_code, 0);
  const auto reference = losses(at("ranks1"));
  ASSERT_EQ(reference.size(), 22u);
  for (int ranks : {2, 3, 4, 8}) {
    const std::string run = "ranks" + std::to_string(ranks);
    const JobResult result = train(run, options, ranks);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    for (const auto& [step, loss] : losses(at(run)))
      EXPECT_NEAR(loss, reference.at(step), 2e-5 * reference.at(step)) << ranks << " ranks, step " << step;
  }
}

// With dropout, too: masks are keyed by the sample, not by the rank.
TEST_F(TrainJob, DropoutDoesNotDependOnTheRankCount) {
  const std::string options = "--global-batch-size 12 --max-steps 8 --save-strategy no";
  ASSERT_EQ(train("dropout1", options, 1).exit_code, 0);
  ASSERT_EQ(train("dropout3", options, 3).exit_code, 0);
  const auto one = losses(at("dropout1"));
  for (const auto& [step, loss] : losses(at("dropout3"))) EXPECT_NEAR(loss, one.at(step), 2e-5 * loss);
}

// Records without what the clock says, a line each.
template <class Records>
std::string without_times(const Records& records) {
  std::string lines;
  for (auto record : records) {
    for (auto it = record.begin(); it != record.end();)
      it = it.key().ends_with("_per_second") || it.key().ends_with("_runtime") ? record.erase(it) : std::next(it);
    lines += record.dump() + "\n";
  }
  return lines;
}

std::string curve(const fs::path& run) { return without_times(read_jsonl(run / "metrics.jsonl")); }

// What the checkpoint remembers of the run's log.
std::string history(const fs::path& checkpoint) {
  return without_times(nlohmann::json::parse(read_bytes(checkpoint / "trainer_state.json")).at("log_history"));
}

constexpr const char* kResumable =
    "--global-batch-size 12 --max-steps 22 --save-steps 5 --eval-strategy steps --eval-steps 4 --warmup-steps 3 "
    "--weight-decay 0.01 --ignore-mismatched-sizes ";

// Ranks, and the data set, of another task each: masked language modelling draws masks, too.
class ResumedJob : public TrainJob, public testing::WithParamInterface<std::tuple<int, const char*>> {
 protected:
  static void SetUpTestSuite() {
    TrainJob::SetUpTestSuite();
    ASSERT_EQ(run_berth("prepare --task mlm --train-file " + at("train.csv") + " --validation-file " + at("validation.csv") +
                        " --tokenizer " + at("model") + " --max-length 24 --output " + at("mlm.h5"))
                  .exit_code,
              0);
    write_tiny_questions(at("questions.json"), 60);
    ASSERT_EQ(run_berth("prepare --task qa --train-file " + at("questions.json") + " --validation-file " + at("questions.json") +
                        " --tokenizer " + at("model") + " --max-length 48 --doc-stride 16 --output " + at("qa.h5"))
                  .exit_code,
              0);
    std::ofstream words(at("words.conll"));
    for (int i = 0; i < 90; ++i) words << "tus O\nban B-PER\n" << (i % 3 == 0 ? "fan I-PER\n" : "dan B-LOC\ntus O\n") << "\n";
    words.close();
    ASSERT_EQ(run_berth("prepare --task ner --train-file " + at("words.conll") + " --validation-file " + at("words.conll") +
                        " --tokenizer " + at("model") + " --max-length 24 --output " + at("ner.h5"))
                  .exit_code,
              0);
  }

  void expect_equal_runs(const std::string& run, const std::string& reference) {
    EXPECT_EQ(curve(at(run)), curve(at(reference)));
    EXPECT_EQ(history(at(run) + "/checkpoint-22"), history(at(reference) + "/checkpoint-22"));
    EXPECT_TRUE(read_bytes(at(run) + "/model.safetensors") == read_bytes(at(reference) + "/model.safetensors"));
    EXPECT_TRUE(read_bytes(at(run) + "/checkpoint-22/optimizer.safetensors") ==
                read_bytes(at(reference) + "/checkpoint-22/optimizer.safetensors"));
  }
};

// Killed twice without warning, in a step and in the middle of a save, and gone on: the same bits as if nothing had happened.
TEST_P(ResumedJob, KilledAndResumedEqualsUninterrupted) {
  const auto [ranks, data] = GetParam();
  const std::string reference = data + std::string("_whole") + std::to_string(ranks),
                    run = data + std::string("_killed") + std::to_string(ranks),
                    options = kResumable + ("--data " + at(data + std::string(".h5")));
  ASSERT_EQ(train(reference, options, ranks).exit_code, 0);
  EXPECT_NE(train(run, options, ranks, {{"BERTH_FAILPOINT", "step@8"}}).exit_code, 0);
  EXPECT_FALSE(fs::exists(at(run) + "/model.safetensors"));
  EXPECT_NE(train(run, options, ranks, {{"BERTH_FAILPOINT", "before-manifest@2"}}).exit_code, 0);
  const JobResult last = train(run, options, ranks);
  ASSERT_EQ(last.exit_code, 0) << last.err;
  expect_equal_runs(run, reference);
}

INSTANTIATE_TEST_SUITE_P(Ranks, ResumedJob,
                         testing::Values(std::tuple(1, "data"), std::tuple(2, "data"), std::tuple(3, "data"),
                                         std::tuple(2, "mlm"), std::tuple(2, "qa"), std::tuple(2, "ner")));

// Asked to stop by a signal, the ranks agree on a step, save, and leave with 75; the next job goes on.
TEST_F(TrainJob, AStopSignalSavesAndLeavesWith75) {
  const std::string options = "--global-batch-size 12 --max-steps 200 --save-strategy no --eval-strategy no";
  ASSERT_EQ(train("unstopped", options, 2).exit_code, 0);
  const std::string command = std::string(BERTH_BINARY_DIR) + "/berth train --model " + at("model") + " --data " + at("data.h5") +
                              " --output-dir " + at("stopped") + " --logging-steps 1 --learning-rate 1e-3 --disable-tqdm " +
                              options;
  // mpiexec passes USR1 on to the ranks. The signal comes when the third step has been logged.
  const JobResult stopped = run_shell(
      "mpiexec --oversubscribe -n 2 " + command + " & job=$!; until [ -f " + at("stopped") + "/metrics.jsonl ] && [ $(wc -l < " +
          at("stopped") + "/metrics.jsonl) -ge 3 ]; do sleep 0.01; kill -0 $job || break; done; kill -USR1 $job; wait $job",
      {{"OMPI_ALLOW_RUN_AS_ROOT", "1"}, {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"}});
  ASSERT_EQ(stopped.exit_code, 75) << stopped.err;
  EXPECT_FALSE(fs::exists(at("stopped") + "/model.safetensors"));
  const JobResult resumed = train("stopped", options, 2);
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_EQ(curve(at("stopped")), curve(at("unstopped")));
  EXPECT_TRUE(read_bytes(at("stopped") + "/model.safetensors") == read_bytes(at("unstopped") + "/model.safetensors"));
}

// Another rank count takes the same samples in the same order.
TEST_F(TrainJob, AnotherRankCountGoesOn) {
  const std::string options = std::string(kResumable) + "--hidden-dropout-prob 0 --attention-probs-dropout-prob 0";
  ASSERT_EQ(train("elastic_reference", options, 2).exit_code, 0);
  EXPECT_NE(train("elastic", options, 2, {{"BERTH_FAILPOINT", "step@12"}}).exit_code, 0);
  const JobResult resumed = train("elastic", options, 3);
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_NE(resumed.err.find("resumed with other ranks"), std::string::npos) << resumed.err;
  const auto reference = losses(at("elastic_reference"));
  ASSERT_EQ(losses(at("elastic")).size(), reference.size());
  for (const auto& [step, loss] : losses(at("elastic"))) EXPECT_NEAR(loss, reference.at(step), 2e-5 * loss) << step;
}

TEST_F(TrainJob, ACompleteRunIsLeftAlone) {
  const std::string options = "--global-batch-size 12 --max-steps 4 --save-strategy no";
  ASSERT_EQ(train("complete", options).exit_code, 0);
  const std::string before = read_bytes(at("complete") + "/metrics.jsonl");
  const JobResult again = train("complete", options);
  EXPECT_EQ(again.exit_code, 0);
  EXPECT_NE(again.err.find("complete"), std::string::npos) << again.err;
  EXPECT_EQ(read_bytes(at("complete") + "/metrics.jsonl"), before);
}

// mpirun hands its ranks a pipe for standard error: the bar is drawn if what mpirun writes to is a terminal.
TEST_F(TrainJob, ProgressBarOnTheTerminalOfMpirun) {
  const auto in_terminal = [&](const std::string& run, const std::string& redirection) {
    const std::string command = "mpiexec --oversubscribe -n 2 " BERTH_BINARY_DIR "/berth train --model " + at("model") +
                                " --data " + at("data.h5") + " --output-dir " + at(run) +
                                " --global-batch-size 12 --max-steps 8 --save-strategy no" + redirection;
    return run_shell("script -qec \"" + command + "\" /dev/null",
                     {{"TERM", "xterm"}, {"OMPI_ALLOW_RUN_AS_ROOT", "1"}, {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"}});
  };
  const JobResult bar = in_terminal("bar", ""), lines = in_terminal("lines", " 2>&1 | cat");
  EXPECT_EQ(bar.exit_code, 0);
  EXPECT_NE(bar.out.find("\r\x1b[K"), std::string::npos) << bar.out;
  EXPECT_NE(bar.out.find("8/8"), std::string::npos) << bar.out;
  EXPECT_EQ(lines.exit_code, 0);
  EXPECT_EQ(lines.out.find('\x1b'), std::string::npos) << lines.out;
}

TEST_F(TrainJob, LeavesThePageOfTheRun) {
  ASSERT_EQ(train("page", "--max-steps 3 --save-strategy no").exit_code, 0);
  EXPECT_NE(read_bytes(dir_->path() / "page" / "report.html").find("<svg"), std::string::npos);
}

}  // namespace
}  // namespace berth::test
