// Whole training jobs: the real program on real ranks.
#include <gtest/gtest.h>

#include <fstream>

#include "data/check.h"
#include "tests/support/run_results.h"
#include "tests/support/tiny_job.h"

namespace berth::test {
namespace {

namespace fs = std::filesystem;

using TrainJob = TinyJob;

// Under Hydra, MPICH's mpiexec, an exit code tells nothing: now and then it loses one and says 0 or 141 (pmodels/mpich#7057). What is on disk
// tells.
bool exit_codes_get_lost() {
  const char* const library = std::getenv("BERTH_TEST_MPI");
  return library && std::string_view(library).starts_with("MPICH");
}

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
    expect_near(losses(at(run)), reference, std::to_string(ranks) + " ranks");
  }
}

// With dropout, too: masks are keyed by the sample, not by the rank.
TEST_F(TrainJob, DropoutDoesNotDependOnTheRankCount) {
  const std::string options = "--global-batch-size 12 --max-steps 8 --save-strategy no";
  ASSERT_EQ(train("dropout1", options, 1).exit_code, 0);
  ASSERT_EQ(train("dropout3", options, 3).exit_code, 0);
  ASSERT_EQ(losses(at("dropout1")).size(), 8u);
  expect_near(losses(at("dropout3")), losses(at("dropout1")), "3 ranks");
}

// What changes the update, of which each rank makes a part.
class OptimizerJob : public TrainJob, public testing::WithParamInterface<const char*> {};

TEST_P(OptimizerJob, SameLossesOnAnyRankCount) {
  const std::string options = std::string("--global-batch-size 12 --max-steps 10 --save-strategy no --weight-decay 0.05 ") +
                              "--ddp-bucket-cap-mb 0.02 --eval-strategy steps --eval-steps 5 " + GetParam(),
                    name = std::to_string(std::hash<std::string>{}(GetParam()));
  ASSERT_EQ(train(name, options, 1).exit_code, 0);
  const auto reference = losses(at(name));
  ASSERT_EQ(reference.size(), 10u);
  for (const int ranks : {2, 3}) {
    const std::string run = name + "_" + std::to_string(ranks);
    const JobResult result = train(run, options, ranks);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    expect_near(losses(at(run)), reference, run);
  }
}

INSTANTIATE_TEST_SUITE_P(Options, OptimizerJob,
                         testing::Values("--optim lamb", "--ema-decay 0.8", "--layerwise-lr-decay 0.7 --head-learning-rate 3e-3",
                                         "--lr-scheduler-type reduce_lr_on_plateau --lr-scheduler-kwargs "
                                         "\"{\\\"patience\\\": 0, \\\"threshold\\\": 1}\""));

constexpr const char* kResumable =
    "--global-batch-size 12 --max-steps 22 --save-steps 5 --eval-strategy steps --eval-steps 4 --warmup-steps 3 "
    "--weight-decay 0.01 --ignore-mismatched-sizes ";

// Ranks; the data set, of another task each (masked language modelling draws masks, too); more options.
class ResumedJob : public TinyTasks, public testing::WithParamInterface<std::tuple<int, const char*, const char*>> {};

// Killed twice without warning, in a step and, with what was not on disk, in the middle of a save, and gone on: the same bits as if nothing
// had happened.
TEST_P(ResumedJob, KilledAndResumedEqualsUninterrupted) {
  const auto [ranks, data, more] = GetParam();
  const std::string name = data + std::to_string(ranks) + more, reference = name + "_whole", run = name + "_killed",
                    options = kResumable + ("--data " + at(data + std::string(".h5"))) + (*more ? " --" : "") + more;
  ASSERT_EQ(train(reference, options, ranks).exit_code, 0);
  for (const char* kill : {"step@8", "before-manifest@2:CUT"}) {
    EXPECT_TRUE(train(run, options, ranks, {{"BERTH_FAILPOINT", kill}}).exit_code != 0 || exit_codes_get_lost()) << kill;
    EXPECT_FALSE(fs::exists(at(run) + "/model.safetensors")) << kill;
  }
  const JobResult last = train(run, options, ranks);
  ASSERT_EQ(last.exit_code, 0) << last.err;
  EXPECT_EQ(differences(all_results(at(run)), all_results(at(reference))), std::vector<std::string>());
}

INSTANTIATE_TEST_SUITE_P(Ranks, ResumedJob,
                         testing::Values(std::tuple(1, "data", ""), std::tuple(2, "data", ""), std::tuple(3, "data", ""),
                                         std::tuple(2, "data", "bf16"), std::tuple(3, "data", "zero=1"),
                                         std::tuple(2, "data", "layerwise-lr-decay=0.7"), std::tuple(2, "data", "optim=lamb"),
                                         std::tuple(2, "data", "ema-decay=0.8"), std::tuple(2, "mlm", ""),
                                         std::tuple(2, "qa", ""), std::tuple(2, "ner", ""),
                                         std::tuple(2, "data", "class-weights=negative=1,positive=4"),
                                         std::tuple(3, "data", "weighted-sampling")));

// With frozen embeddings nothing is shared behind the moments that a rank clears.
TEST_F(TrainJob, ResumesExactlyHoweverLateARankIs) {
  const std::string options = std::string(kResumable) + "--freeze embeddings";
  ASSERT_EQ(train("in_time", options, 2).exit_code, 0);
  EXPECT_TRUE(train("late", options, 2, {{"BERTH_FAILPOINT", "step@8"}}).exit_code != 0 || exit_codes_get_lost());
  const JobResult last = train("late", options, 2, at_failpoint("share@1+:SLOW", 1, 1));
  ASSERT_EQ(last.exit_code, 0) << last.err;
  EXPECT_EQ(differences(all_results(at("late")), all_results(at("in_time"))), std::vector<std::string>());
}

// Several buckets, none of whose sizes is a multiple of the parts'. A checkpoint does not tell who had the moments.
TEST_F(TrainJob, SharedMomentsMakeTheSameStepsAndCheckpoints) {
  const std::string options =
      "--global-batch-size 12 --max-steps 12 --save-steps 6 --ddp-bucket-cap-mb 0.02 --weight-decay 0.01 --max-grad-norm 0.5 ";
  ASSERT_EQ(train("not_shared", options + "--zero 0", 2).exit_code, 0);
  for (const int ranks : {2, 3}) {
    const std::string run = "shared" + std::to_string(ranks);
    const JobResult result = train(run, options + "--zero 1", ranks);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_NE(result.err.find("moments are shared among the ranks of a host"), std::string::npos) << result.err;
    expect_near(losses(at(run)), losses(at("not_shared")), run);
    fs::remove_all(at(run) + "/checkpoint-12");
    fs::remove(at(run) + "/trainer_state.json");
    ASSERT_EQ(train(run, options + "--zero 0", 1).exit_code, 0) << "goes on alone";
    EXPECT_EQ(nlohmann::json::parse(read_bytes(at(run) + "/provenance.json"))["jobs"].back()["from_step"], 6);
    expect_near(losses(at(run)), losses(at("not_shared")), run + ", then alone");
  }
}

TEST_F(TrainJob, TracesStepsOfAllRanks) {
  const JobResult result = train("traced", "--global-batch-size 12 --max-steps 6 --save-strategy no --trace-steps 3-4", 2);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("trace.json"), std::string::npos) << result.err;
  const auto seen = traced_spans(at("traced"));
  const auto count = [&](int rank, const char* lane, const char* name) {
    const auto found = seen.find(concat(rank, " ", lane, ": ", name));
    return found == seen.end() ? 0 : found->second;
  };
  for (const int rank : {0, 1}) {
    for (const char* name : {"read data", "step", "forward", "backward", "optimizer"})
      EXPECT_EQ(count(rank, "main", name), 2) << rank << name;
    EXPECT_GE(count(rank, "main", "wait"), 2) << rank;
    EXPECT_GE(count(rank, "main", "all-reduce of values"), 2) << rank;
    EXPECT_EQ(count(rank, "communication", "all-reduce of gradients"), 4) << "a dense bucket and a table";
  }
}

// From a checkpoint that is named: in its own run, and into another folder.
TEST_F(TrainJob, GoesOnFromTheCheckpointThatIsNamed) {
  ASSERT_EQ(train("named", kResumable, 2).exit_code, 0);
  const std::string model = read_bytes(at("named") + "/model.safetensors"), whole = curve(at("named"));
  const std::string from = std::string(kResumable) + " --resume-from-checkpoint " + at("named") + "/checkpoint-10";

  const JobResult elsewhere = train("elsewhere", from, 2);
  ASSERT_EQ(elsewhere.exit_code, 0) << elsewhere.err;
  EXPECT_TRUE(read_bytes(at("elsewhere") + "/model.safetensors") == model);
  EXPECT_EQ(curve(at("elsewhere")), whole) << "the curve before the checkpoint comes from its history";
  EXPECT_FALSE(fs::exists(at("elsewhere") + "/checkpoint-5"));
  EXPECT_TRUE(fs::exists(at("named") + "/checkpoint-20")) << "the run that it came from is not touched";

  fs::remove(at("named") + "/trainer_state.json");
  const JobResult same = train("named", from, 2);
  ASSERT_EQ(same.exit_code, 0) << same.err;
  EXPECT_TRUE(read_bytes(at("named") + "/model.safetensors") == model);
  EXPECT_EQ(curve(at("named")), whole);
  EXPECT_FALSE(fs::exists(at("named") + "/checkpoint-20.superseded")) << "of a run that is complete";

  const JobResult unknown = train("unknown", "--resume-from-checkpoint newest");
  EXPECT_EQ(unknown.exit_code, 2) << unknown.err;
}

TEST_F(TrainJob, SavesWhenItImprovesOrWhenTheSecondsAreOver) {
  const std::string options = "--global-batch-size 12 --max-steps 8 --learning-rate 0.05 --eval-strategy steps --eval-steps 1 ";
  ASSERT_EQ(train("improved", options + "--save-strategy best", 2).exit_code, 0);
  std::vector<int64_t> improved;
  double lowest = 1e9;
  for (const auto& record : read_jsonl(at("improved") + "/metrics.jsonl")) {
    if (!record.contains("eval_loss") || record["eval_loss"].get<double>() >= lowest) continue;
    lowest = record["eval_loss"];
    improved.push_back(record["step"]);
  }
  ASSERT_LT(improved.size(), 8u) << "the test needs evaluations that are no improvement";
  EXPECT_EQ(checkpoint_steps(at("improved")), improved);
  ASSERT_EQ(train("timed", "--global-batch-size 12 --max-steps 3 --save-strategy no --save-seconds 0.000001", 2).exit_code, 0);
  EXPECT_EQ(checkpoint_steps(at("timed")), (std::vector<int64_t>{1, 2, 3}));
}

// A learning rate that throws the weights out of fp32's reach: from the second step on nothing is finite, on any rank.
TEST_F(TrainJob, StepsThatAreNotFiniteEndTheRunOrAreSkippedByAllRanks) {
  const std::string options =
      "--global-batch-size 12 --max-steps 4 --learning-rate 1e38 --lr-scheduler-type constant --save-strategy no";
  const JobResult stopped = train("diverged", options, 2);
  EXPECT_EQ(stopped.exit_code, 4) << stopped.err;
  EXPECT_NE(stopped.err.find("step 2 is not finite: rank "), std::string::npos) << stopped.err;
  EXPECT_FALSE(fs::exists(at("diverged") + "/model.safetensors"));
  const JobResult skipped = train("skipped", options + " --on-nan skip", 2);
  ASSERT_EQ(skipped.exit_code, 0) << skipped.err;
  EXPECT_NE(skipped.err.find("step 4 is not finite"), std::string::npos) << skipped.err;
  EXPECT_EQ(nlohmann::json::parse(read_bytes(at("skipped") + "/trainer_state.json"))["berth"]["optimizer_steps"], 1);
  const JobResult most = train("mostly_skipped", options + " --on-nan skip --max-steps 60", 2);
  EXPECT_EQ(most.exit_code, 4) << most.err;
  EXPECT_NE(most.err.find("the run has diverged"), std::string::npos) << most.err;
}

// Two micro-batches a step on each rank; every loss is finite, so that the step is computed again to find where.
TEST_F(TrainJob, AGradientThatIsNotFiniteIsTracedToItsRankAndSamples) {
  const std::string options = "--global-batch-size 12 --per-device-train-batch-size 3 --max-steps 5 --save-steps 1 ";
  const JobResult stopped = train("poisoned", options, 2, at_failpoint("gradient@5+:NAN", 1, 1));
  EXPECT_EQ(stopped.exit_code, 4) << stopped.err;
  EXPECT_NE(stopped.err.find("step 3 is not finite: rank 1, micro-batch 0, the gradient of "), std::string::npos) << stopped.err;
  EXPECT_NE(stopped.err.find(", samples "), std::string::npos) << stopped.err;
  const std::string log = read_bytes(at("poisoned/berth.log"));
  EXPECT_NE(log.find(" error: step 3 is not finite: rank 1, micro-batch 0"), std::string::npos) << log;
  EXPECT_TRUE(fs::exists(at("poisoned/checkpoint-2")));
  EXPECT_FALSE(fs::exists(at("poisoned/checkpoint-3")) || fs::exists(at("poisoned/model.safetensors")));
  const std::pair<std::string, Disturbance> faults[] = {{"a_nan", at_failpoint("gradient@5:NAN", 1, 1)},
                                                        {"infinite", at_failpoint("gradient@6:INF", 0, 0)}};
  for (const auto& [run, fault] : faults) {
    const JobResult skipped = train(run, options + "--on-nan skip", 2, fault);
    ASSERT_EQ(skipped.exit_code, 0) << skipped.err;
    EXPECT_NE(
        skipped.err.find("step 3 is not finite: the loss of every rank is finite, and so is its gradient when it is computed "
                         "again"),
        std::string::npos)
        << skipped.err;
    const auto file = [&](const char* name) { return read_bytes(at(run) + name); };
    EXPECT_TRUE(file("/checkpoint-3/model.safetensors") == file("/checkpoint-2/model.safetensors"));
    EXPECT_TRUE(file("/checkpoint-3/optimizer.safetensors") == file("/checkpoint-2/optimizer.safetensors"));
    EXPECT_TRUE(file("/model.safetensors") == read_bytes(at("a_nan/model.safetensors"))) << "whoever had it";
  }
}

TEST_F(TrainJob, ReportsOnlyWhereThereIsSomethingToReportTo) {
  const JobResult unknown = train("unreported", "--report-to wandb");
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_NE(unknown.err.find("--report-to wandb"), std::string::npos) << unknown.err;
  std::ofstream(at("options.json")) << R"({"report_to": ["tensorboard", "jsonl"]})";
  ASSERT_EQ(train("both", "--max-steps 1 --save-strategy no --config " + at("options.json")).exit_code, 0);
  EXPECT_TRUE(fs::exists(at("both") + "/metrics.jsonl"));
  EXPECT_TRUE(fs::exists(at("both") + "/tensorboard"));
}

// A disk that takes its time holds nobody up but the next save.
TEST_F(TrainJob, TrainsOnWhileACheckpointIsWritten) {
  const std::string options = "--global-batch-size 12 --max-steps 12 --save-steps 4 ", metrics = at("held/metrics.jsonl");
  ASSERT_EQ(train("not_held", options, 2).exit_code, 0);
  const std::string release = "(until [ \"$(wc -l < " + metrics + " 2> /dev/null || echo 0)\" -ge 8 ] || [ ! -d " + at("") +
                              " ]; do sleep 0.01; done; ls -d " + at("held") + "/checkpoint-4 > " + at("seen") + " 2>&1; touch " +
                              at("release") + ") & ";
  const JobResult held =
      run_shell(release + mpiexec(2) + berth_program() + " train --model " + at("model") + " --data " + at("data.h5") +
                    " --output-dir " + at("held") + " --logging-steps 1 --learning-rate 1e-3 --disable-tqdm " + options,
                {{"BERTH_FAILPOINT", "before-manifest:HOLD"}, {"BERTH_FAILPOINT_HOLD", at("release")}});
  ASSERT_EQ(held.exit_code, 0) << held.err;
  EXPECT_NE(read_bytes(at("seen")).find("No such file"), std::string::npos)
      << "step 8 was logged while checkpoint-4 was not there";
  EXPECT_EQ(curve(at("held")), curve(at("not_held")));
  for (const char* file : {"/model.safetensors", "/checkpoint-4/model.safetensors", "/checkpoint-4/optimizer.safetensors",
                           "/checkpoint-8/optimizer.safetensors"})
    EXPECT_TRUE(read_bytes(at("held") + file) == read_bytes(at("not_held") + file)) << file;
}

// What is saved is the state at the save, however long its copy takes: steps go on, but not the update.
TEST_F(TrainJob, AnUpdateWaitsForTheCopyOfACheckpoint) {
  for (const std::string more : {"--zero 0", "--ema-decay 0.8", "--zero 1"}) {
    const std::string options = "--global-batch-size 12 --max-steps 9 --save-steps 4 " + more,
                      name = "copied_" + more.substr(2, 3) + more.back();
    ASSERT_EQ(train(name, options, 2).exit_code, 0);
    const JobResult slow = train(name + "_slowly", options, 2, {{"BERTH_FAILPOINT", "copy@1+:SLOW"}});
    ASSERT_EQ(slow.exit_code, 0) << slow.err;
    for (const char* file : {"/checkpoint-4/model.safetensors", "/checkpoint-4/optimizer.safetensors",
                             "/checkpoint-8/model.safetensors", "/checkpoint-8/optimizer.safetensors", "/model.safetensors"})
      EXPECT_TRUE(read_bytes(at(name + "_slowly") + file) == read_bytes(at(name) + file)) << file << more;
  }
}

// Somebody tidies up: the checkpoint that is being written is gone, the run is not.
TEST_F(TrainJob, AFolderThatIsDeletedWhileItIsWrittenIsOneSaveLess) {
  const std::string options = "--global-batch-size 12 --max-steps 12 --save-steps 4 ", run = at("tidied");
  ASSERT_EQ(train("untidied", options).exit_code, 0);
  const std::string tidy = "(until ls " + run + "/checkpoint-4.tmp-*/trainer_state.json > /dev/null 2>&1 || [ ! -d " + at("") +
                           " ]; do sleep 0.01; done; rm -r " + run + "/checkpoint-4*; touch " + at("tidy") + ") & ";
  const JobResult job = run_shell(tidy + berth_program() + " " + train_into("tidied", options),
                                  {{"BERTH_FAILPOINT", "before-manifest:HOLD"}, {"BERTH_FAILPOINT_HOLD", at("tidy")}});
  ASSERT_EQ(job.exit_code, 0) << job.err;
  EXPECT_NE(job.err.find("checkpoint-4 was not saved: "), std::string::npos) << job.err;
  EXPECT_EQ(checkpoint_steps(run), (std::vector<int64_t>{8, 12}));
  EXPECT_TRUE(read_bytes(run + "/model.safetensors") == read_bytes(at("untidied/model.safetensors")));
}

// Asked to stop by a signal, the ranks agree on a step, save, and leave with 75; the next job goes on.
TEST_F(TrainJob, AStopSignalSavesAndLeavesWith75) {
  const std::string options = "--global-batch-size 12 --max-steps 200 --save-strategy no --eval-strategy no";
  ASSERT_EQ(train("unstopped", options, 2).exit_code, 0);
  const std::string command = berth_program() + " train --model " + at("model") + " --data " + at("data.h5") + " --output-dir " +
                              at("stopped") + " --logging-steps 1 --learning-rate 1e-3 --disable-tqdm " + options;
  // mpiexec passes USR1 on to the ranks. The signal comes when the third step has been logged.
  const JobResult stopped = run_shell(
      mpiexec(2) + command + " & job=$!; until [ -f " + at("stopped") + "/metrics.jsonl ] && [ $(wc -l < " + at("stopped") +
      "/metrics.jsonl) -ge 3 ]; do sleep 0.01; kill -0 $job || break; done; kill -USR1 $job; wait $job");
  ASSERT_TRUE(stopped.exit_code == 75 || exit_codes_get_lost()) << stopped.exit_code << stopped.err;
  EXPECT_NE(stopped.err.find("stopped early on signal"), std::string::npos) << stopped.err;
  EXPECT_FALSE(fs::exists(at("stopped") + "/model.safetensors"));
  const JobResult resumed = train("stopped", options, 2);
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_EQ(curve(at("stopped")), curve(at("unstopped")));
  EXPECT_TRUE(read_bytes(at("stopped") + "/model.safetensors") == read_bytes(at("unstopped") + "/model.safetensors"));
}

TEST_F(TrainJob, TheLedgerOfAllJobsKnowsWhatAKillCost) {
  const std::string options = "--global-batch-size 12 --max-steps 12 --save-steps 4 --eval-strategy steps --eval-steps 6 ";
  EXPECT_NE(train("ledger", options, 2, {{"BERTH_FAILPOINT", "step@8"}}).exit_code, 0);
  const int64_t logged = losses(at("ledger")).rbegin()->first;  // 7; 6 where a step is heard of when the next one has begun
  const JobResult last = train("ledger", options, 2);
  ASSERT_EQ(last.exit_code, 0) << last.err;
  const auto jobs = nlohmann::json::parse(read_bytes(at("ledger") + "/provenance.json"))["jobs"];
  ASSERT_EQ(jobs.size(), 2u);
  EXPECT_EQ(jobs[0]["lost_steps"], 0);
  EXPECT_GT(jobs[0]["seconds"]["train"], 0) << "as of its checkpoint";
  EXPECT_EQ(jobs[1]["lost_steps"], logged - 4) << "4 were saved";
  for (const char* part : {"start", "train", "wait", "evaluation", "checkpoint", "lost"})
    EXPECT_GT(jobs[1]["seconds"][part], 0) << part;
  EXPECT_NE(last.err.find(" in 2 jobs: start "), std::string::npos) << last.err;
  EXPECT_NE(last.err.find("(" + std::to_string(logged - 4) + " steps of killed jobs)"), std::string::npos) << last.err;
  if (jobs[1]["device"] != "cpu") return;  // beside a GPU the host's times say nothing
  double in_steps = 0;
  for (const char* part : {"data", "forward", "backward", "reduce", "optimizer"}) {
    EXPECT_GT(jobs[1]["step_seconds"][part], 0) << part;
    in_steps += jobs[1]["step_seconds"][part].get<double>();
  }
  double all = 0;
  for (const char* part : {"train", "wait", "checkpoint"}) all += jobs[1]["seconds"][part].get<double>();
  EXPECT_LE(in_steps, 1.001 * all);
}

TEST_F(TrainJob, AFileStopStopsAndIsHeededUntilItIsGone) {
  const std::string options = "--global-batch-size 12 --max-steps 100000 --save-strategy no --eval-strategy no";
  const JobResult stopped =
      run_shell("(until [ -s " + at("filed/metrics.jsonl") + " ] || [ ! -d " + at("") + " ]; do sleep 0.01; done; touch " +
                at("filed/STOP") + ") & " + berth_program() + " train --model " + at("model") + " --data " + at("data.h5") +
                " --output-dir " + at("filed") + " --logging-steps 1 --disable-tqdm " + options);
  ASSERT_EQ(stopped.exit_code, 75) << stopped.err;
  EXPECT_NE(stopped.err.find("stopped early as the file STOP asks"), std::string::npos) << stopped.err;
  const JobResult refused = train("filed", options);
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.err.find("STOP: this file asks to stop; remove it to go on"), std::string::npos) << refused.err;
}

TEST_F(TrainJob, StopsBeforeItsTimeIsUp) {
  const std::string options = "--global-batch-size 12 --max-steps 1000000 --logging-steps 10000 --save-strategy no --max-time ";
  const JobResult stopped = train("time_limit", options + "4", 2);
  ASSERT_EQ(stopped.exit_code, 75) << stopped.err;
  EXPECT_NE(stopped.err.find("the job's time is nearly up"), std::string::npos) << stopped.err;
  EXPECT_EQ(train("time_limit", options + "4", 2, {{"BERTH_END_TIME", "1"}}).exit_code, 75);
  EXPECT_EQ(train("time_limit", options + "soon", 1).exit_code, 2);
}

// The power is cut as soon as it is complete.
TEST_F(TrainJob, ACompleteRunIsWholeAndLeftAlone) {
  const std::string options = "--global-batch-size 12 --max-steps 4 --save-strategy no";
  ASSERT_EQ(train("not_cut", options).exit_code, 0);
  EXPECT_NE(train("complete", options, 1, {{"BERTH_FAILPOINT", "finish@3:CUT"}}).exit_code, 0);
  const std::string before = read_bytes(at("complete") + "/metrics.jsonl");
  const JobResult again = train("complete", options);
  EXPECT_EQ(again.exit_code, 0);
  EXPECT_NE(again.err.find("complete"), std::string::npos) << again.err;
  EXPECT_EQ(read_bytes(at("complete") + "/metrics.jsonl"), before);
  EXPECT_EQ(differences(all_results(at("complete")), all_results(at("not_cut"))), std::vector<std::string>());
  EXPECT_EQ(again.err.find("without effect"), std::string::npos) << again.err;
  const JobResult idle = train("complete", options + " --save-total-limit 3");
  EXPECT_EQ(idle.exit_code, 0);
  EXPECT_NE(idle.err.find("--save-total-limit: without effect"), std::string::npos) << idle.err;
}

// mpirun hands its ranks a pipe for standard error: the bar is drawn if what mpirun writes to is a terminal.
TEST_F(TrainJob, ProgressBarOnTheTerminalOfMpirun) {
  const auto in_terminal = [&](const std::string& run, const std::string& redirection) {
    const std::string command = mpiexec(2) + berth_program() + " train --model " + at("model") + " --data " + at("data.h5") +
                                " --output-dir " + at(run) + " --global-batch-size 12 --max-steps 8 --save-strategy no" +
                                redirection;
    return run_shell("script -qec \"" + command + "\" /dev/null", {{"TERM", "xterm"}});
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
