// Whole jobs of the GPU program on the stand-ins, beside the CPU program, and with an NCCL that is late, hangs or fails.
#include <regex>

#include "data/check.h"
#include "tests/standin/standin_job.h"
#include "tests/support/run_results.h"

namespace berth::test {
namespace {

namespace fs = std::filesystem;

std::string cpu_program() { return BERTH_BINARY_DIR "/berth"; }

// Memory that 64 samples do not fit into, and some do: 32 are the products' workspace.
constexpr const char* kSmallMb = "40";

// A task, and more options.
class EachTask : public StandinJob, public testing::WithParamInterface<std::pair<std::string, std::string>> {};

// With dropout: masks are the CPU's.
TEST_P(EachTask, LossesAreTheCpusOnAnyRankCount) {
  const auto& [task, more] = GetParam();
  const std::string name = task + std::to_string(more.size()) + "_", options = kOptions + more + " --data " + at(task + ".h5");
  const JobResult on_cpu = run_shell(cpu_program() + " train --device cpu --model " + at("model") + " --output-dir " +
                                     at(name + "cpu") + " --logging-steps 1 --learning-rate 1e-3 --disable-tqdm " + options);
  ASSERT_EQ(on_cpu.exit_code, 0) << on_cpu.err;
  ASSERT_EQ(losses(at(name + "cpu")).size(), 8u);
  const std::vector<int> rank_counts = task == "data" && more.empty() ? std::vector{1, 2, 4, 8} : std::vector{2};
  for (const int ranks : rank_counts) {
    const std::string run = name + std::to_string(ranks);
    const JobResult result = train(run, options, ranks);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_NE(result.err.find(" NCCL "), std::string::npos) << result.err;
    expect_near(losses(at(run)), losses(at(name + "cpu")), run);
  }
}
std::vector<std::pair<std::string, std::string>> each_task() {
  std::vector<std::pair<std::string, std::string>> tasks;
  for (const char* task : kTasks) tasks.emplace_back(task, "");
  return tasks;
}
INSTANTIATE_TEST_SUITE_P(Tasks, EachTask, testing::ValuesIn(each_task()));
INSTANTIATE_TEST_SUITE_P(Weights, EachTask,
                         testing::Values(std::pair("data", "--class-weights negative=1,positive=4 --label-smoothing-factor 0.1"),
                                         std::pair("ner", "--class-weights balanced"),
                                         std::pair("topics", "--pos-weight balanced"), std::pair("data", "--weighted-sampling")));

TEST_F(StandinJob, ACustomHeadsLossesAreTheCpus) {
  for (const std::string head :
       {"--pooling=mean --head-hidden-sizes 24,16 --head-activation gelu", "--pooling=max --head-hidden-sizes 20"}) {
    const std::string name = head.substr(10, 3), options = kOptions + ("--data " + at("data.h5 ")) + head;
    const JobResult on_cpu = run_shell(cpu_program() + " train --device cpu --model " + at("model") + " --output-dir " +
                                       at(name + "_cpu") + " --logging-steps 1 --learning-rate 1e-3 --disable-tqdm " + options);
    ASSERT_EQ(on_cpu.exit_code, 0) << on_cpu.err;
    const JobResult result = train(name, options, 2);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    ASSERT_EQ(losses(at(name)).size(), 8u);
    expect_near(losses(at(name)), losses(at(name + "_cpu")), name);
  }
}

// A relative's model_type and a task.
class EachRelative : public StandinJob, public testing::WithParamInterface<std::tuple<const char*, const char*>> {};

TEST_P(EachRelative, LossesAreTheCpus) {
  const auto [model_type, task] = GetParam();
  const std::string model = at(model_type), name = concat(model_type, "_", task);
  if (!fs::exists(model)) write_tiny_model(model, model_type);
  const std::string options =
      concat(" train --model ", model, " --data ", at(task), ".h5 --logging-steps 1 --learning-rate 1e-3 ", "--disable-tqdm ",
             kOptions, " --output-dir ");
  const JobResult on_cpu = run_shell(cpu_program() + options + at(name + "_cpu") + " --device cpu"),
                  result = run_berth(options + at(name), 2);
  ASSERT_EQ(on_cpu.exit_code, 0) << on_cpu.err;
  ASSERT_EQ(result.exit_code, 0) << result.err;
  expect_near(losses(at(name)), losses(at(name + "_cpu")), name);
}
INSTANTIATE_TEST_SUITE_P(Tasks, EachRelative,
                         testing::Combine(testing::Values("distilbert", "electra"), testing::Values("data", "ner", "qa", "mlm")));

class EachOptimizer : public StandinJob, public testing::WithParamInterface<const char*> {};

// On one rank, on two, and on two that share the moments; and the same bits when killed and gone on.
TEST_P(EachOptimizer, StepsAreTheCpus) {
  const std::string options = std::string(kOptions) + "--weight-decay 0.05 --save-strategy steps --save-steps 3 --data " +
                              at("data.h5 ") + GetParam(),
                    name = std::to_string(std::hash<std::string>{}(GetParam()));
  const JobResult on_cpu = run_shell(cpu_program() + " train --device cpu --model " + at("model") + " --output-dir " +
                                     at(name + "_cpu") + " --logging-steps 1 --learning-rate 1e-3 --disable-tqdm " + options);
  ASSERT_EQ(on_cpu.exit_code, 0) << on_cpu.err;
  for (const auto& [ranks, more] : {std::pair(1, " --zero 0"), std::pair(2, " --zero 0"), std::pair(2, " --zero 1")}) {
    const std::string run = name + std::to_string(ranks) + more[8];
    const JobResult result = train(run, options + more, ranks);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    expect_near(losses(at(run)), losses(at(name + "_cpu")), run);
    EXPECT_NE(train("killed_" + run, options + more, ranks, {{"BERTH_FAILPOINT", "step@5"}}).exit_code, 0);
    ASSERT_EQ(train("killed_" + run, options + more, ranks).exit_code, 0);
    for (const char* file : {"/model.safetensors", "/checkpoint-6/optimizer.safetensors"})
      EXPECT_TRUE(read_bytes(at("killed_" + run) + file) == read_bytes(at(run) + file)) << run << file;
  }
}
INSTANTIATE_TEST_SUITE_P(Options, EachOptimizer,
                         testing::Values("--optim lamb", "--ema-decay 0.8",
                                         "--layerwise-lr-decay 0.7 --head-learning-rate 3e-3"));

// Of each rank what its thread enqueued, and what its GPU's streams did.
TEST_F(StandinJob, TracesTheStreams) {
  const JobResult result = train("traced", kOptions + ("--data " + at("data.h5")) + " --zero 1 --trace-steps 2-3", 2);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  auto seen = traced_spans(at("traced"));
  for (const char* rank : {"0", "1"}) {
    for (const char* lane : {" main: ", " GPU: "})
      for (const char* name : {"step", "forward", "optimizer"})
        EXPECT_EQ(seen[std::string(rank) + lane + name], 2) << rank << lane << name;
    EXPECT_EQ(seen[std::string(rank) + " GPU: backward"], 2) << rank;
    for (const char* name : {"reduce-scatter of gradients", "all-gather"})
      EXPECT_GE(seen[std::string(rank) + " GPU, stream 2: " + name], 2) << rank << name;
  }
}

TEST_F(StandinJob, RecordsTheGpuAndTheMostOfItsMemory) {
  const JobResult result = train("recorded", kOptions, 2);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto results = nlohmann::json::parse(read_bytes(at("recorded") + "/train_results.json"));
  EXPECT_EQ(results["train_device"], "Stand-in GPU 0");
  EXPECT_GT(results["train_mem_gpu_peak"], 100'000) << "parameters, gradients and moments alone";
  EXPECT_LT(results["train_mem_gpu_peak"], 64 << 20);
  EXPECT_FALSE(results.contains("train_mfu")) << "nobody knows its peak";
  EXPECT_NE(result.err.find("GPU memory 0.0"), std::string::npos) << result.err;
}

// Buckets of other sizes than the parts' multiples; with a copy in bf16, which comes of the gathered values. The checkpoint goes on with any
// sharing.
TEST_F(StandinJob, SharedMomentsMakeTheSameStepsInLessMemory) {
  const std::string options =
      "--global-batch-size 12 --max-steps 8 --save-steps 4 --ddp-bucket-cap-mb 0.02 --weight-decay 0.01 --zero ";
  const auto peak = [&](const std::string& run) {
    return nlohmann::json::parse(read_bytes(at(run) + "/train_results.json"))["train_mem_gpu_peak"].get<int64_t>();
  };
  for (const std::string more : {"", " --bf16"}) {
    const std::string whole = "whole" + more.substr(more.size() / 2), shared = "shared" + more.substr(more.size() / 2);
    ASSERT_EQ(train(whole, options + "0" + more, 2).exit_code, 0);
    for (const int ranks : {2, 4}) {
      const std::string run = shared + std::to_string(ranks);
      const JobResult result = train(run, options + "1" + more, ranks);
      ASSERT_EQ(result.exit_code, 0) << result.err;
      expect_near(losses(at(run)), losses(at(whole)), run);
      EXPECT_LT(peak(run), peak(whole));
    }
    EXPECT_NE(train("killed" + shared, options + "1" + more, 4, {{"BERTH_FAILPOINT", "step@6"}}).exit_code, 0);
    ASSERT_EQ(train("killed" + shared, options + "1" + more, 4).exit_code, 0);
    for (const char* file : {"/model.safetensors", "/checkpoint-8/optimizer.safetensors"})
      EXPECT_TRUE(read_bytes(at("killed" + shared) + file) == read_bytes(at(shared + "4") + file)) << file;
  }
  fs::remove_all(at("shared2") + "/checkpoint-8");
  fs::remove(at("shared2") + "/trainer_state.json");
  ASSERT_EQ(train("shared2", options + "0", 1).exit_code, 0);
  EXPECT_EQ(nlohmann::json::parse(read_bytes(at("shared2") + "/provenance.json"))["jobs"].back()["from_step"], 4);
  expect_near(losses(at("shared2")), losses(at("whole")), "4 steps shared, 4 alone");
}

// With what else changes a step: an overflow, frozen layers.
TEST_F(StandinJob, SharedMomentsGoWithOtherOptions) {
  const std::string options = std::string(kOverflowing) + "--data " + at("regression.h5") + " --freeze 1 --zero ";
  for (const char* zero : {"0", "1"}) {
    const JobResult result = train(std::string("others") + zero, options + zero, 2);
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
  const auto whole = losses(at("others0")), shared = losses(at("others1"));
  ASSERT_EQ(whole.size(), shared.size());
  for (const auto& [step, loss] : whole) EXPECT_NEAR(shared.at(step), loss, 3e-4 * std::abs(loss)) << "step " << step;
  const auto before = own_state(at("others0")), after = own_state(at("others1"));
  EXPECT_GE(after["overflowed_steps"], 1);
  for (const char* key : {"overflowed_steps", "optimizer_steps", "loss_scale"}) EXPECT_EQ(after[key], before[key]) << key;
}

TEST_F(StandinJob, EvaluatesAndPredictsAsTheCpu) {
  ASSERT_EQ(train("used", "--max-steps 4 --save-strategy no").exit_code, 0);
  const std::string evaluate = " evaluate --model " + at("used") + " --data " + at("data.h5"),
                    predict = " predict --logits --model " + at("used") + " --input " + at("validation.csv") + " --output ";
  const JobResult cpu_metrics = run_shell(cpu_program() + evaluate + " --device cpu"), metrics = run_berth(evaluate, 2);
  ASSERT_EQ(cpu_metrics.exit_code, 0) << cpu_metrics.err;
  ASSERT_EQ(metrics.exit_code, 0) << metrics.err;
  const auto cpu_values = nlohmann::json::parse(cpu_metrics.out), values = nlohmann::json::parse(metrics.out);
  EXPECT_NEAR(values["eval_loss"].get<double>(), cpu_values["eval_loss"].get<double>(), 1e-5);
  EXPECT_EQ(values["eval_accuracy"], cpu_values["eval_accuracy"]);

  ASSERT_EQ(run_shell(cpu_program() + predict + at("cpu.jsonl") + " --device cpu").exit_code, 0);
  ASSERT_EQ(run_berth(predict + at("gpu.jsonl"), 2).exit_code, 0);
  const auto cpu_lines = read_jsonl(at("cpu.jsonl")), lines = read_jsonl(at("gpu.jsonl"));
  ASSERT_EQ(lines.size(), 41u);
  ASSERT_EQ(cpu_lines.size(), 41u);
  for (size_t i = 0; i < lines.size(); ++i)
    for (size_t label = 0; label < 2; ++label)
      EXPECT_NEAR(lines[i]["logits"][label].get<double>(), cpu_lines[i]["logits"][label].get<double>(), 1e-4) << "row " << i + 1;
}

// Groups of ranks, each with communicators of its own.
TEST_F(StandinJob, TrialsOfASweepAreRunsOfTheirOwn) {
  const std::string options =
      " --model " + at("model") + " --data " + at("data.h5") +
      " --max-steps 8 --ddp-bucket-cap-mb 0.02 --eval-strategy steps --eval-steps 8 --logging-steps 1 --disable-tqdm ";
  const JobResult sweep =
      run_berth("sweep --output-dir " + at("sweep") + options + "--search learning-rate=1e-3,2e-3,3e-3 --ranks-per-trial 2", 4);
  ASSERT_EQ(sweep.exit_code, 0) << sweep.err;
  ASSERT_EQ(run_berth("train --output-dir " + at("alone") + options + "--learning-rate 3e-3", 2).exit_code, 0);
  ASSERT_EQ(losses(at("alone")).size(), 8u);
  EXPECT_EQ(losses(at("sweep/trial-2-seed-42")), losses(at("alone")));
}

TEST_F(StandinJob, EmbeddingsAreTheCpus) {
  const std::string embed = " predict --embeddings --model " + at("model") + " --input " + at("validation.csv") + " --output ";
  for (const std::string pooling : {"cls", "mean", "max"}) {
    ASSERT_EQ(run_shell(cpu_program() + embed + at("cpu.jsonl") + " --device cpu --pooling " + pooling).exit_code, 0);
    ASSERT_EQ(run_berth(embed + at("gpu.jsonl") + " --pooling " + pooling, 2).exit_code, 0);
    const auto cpu_lines = read_jsonl(at("cpu.jsonl")), lines = read_jsonl(at("gpu.jsonl"));
    ASSERT_EQ(lines.size(), cpu_lines.size());
    for (size_t i = 0; i < lines.size(); ++i) {
      const std::vector<double> own = lines[i]["embedding"], cpu = cpu_lines[i]["embedding"];
      ASSERT_EQ(own.size(), 32u);
      for (size_t c = 0; c < own.size(); ++c) EXPECT_NEAR(own[c], cpu[c], 1e-5) << pooling << ", row " << i + 1;
    }
  }
}

// Memory that grows does so by 20 MB: much of such small GPUs.
const std::pair<const std::string, std::string> kAllAtOnce{"PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:False"};

// What it advises works.
TEST_F(StandinJob, WhereMemoryDoesNotSufficeItSaysWhatToDo) {
  const std::string options = "--max-steps 2 --save-strategy no ";
  const std::map<std::string, std::string> small{{"STANDIN_GPU_MB", kSmallMb}, kAllAtOnce};
  const JobResult result = train("too_large", options + "--per-device-train-batch-size 64", 1, small);
  EXPECT_EQ(result.exit_code, 2);
  for (const char* part : {"does not suffice for a micro-batch of 64 samples", "Tried to allocate", "--auto-find-batch-size"})
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
  const std::regex advice(
      "about ([0-9]+) samples of [0-9]+ tokens would fit; (--per-device-train-batch-size ([0-9]+) --gradient-accumulation-steps "
      "([0-9]+)) makes the same steps");
  std::smatch parts;
  ASSERT_TRUE(std::regex_search(result.err, parts, advice)) << result.err;
  const int fit = std::stoi(parts[1]), size = std::stoi(parts[3]);
  EXPECT_LE(size, fit);
  EXPECT_GT(size, fit / 2) << "64 has a divisor between";
  EXPECT_EQ(size * std::stoi(parts[4]), 64);
  const JobResult advised = train("advised", options + parts[2].str(), 1, small);
  EXPECT_EQ(advised.exit_code, 0) << advised.err;
}

// The GPU of one rank alone is small: all ranks halve, steps stay what they were, and the bits are those of a run that was told so.
TEST_F(StandinJob, FindsTheMicroBatchThatFitsOnEveryRank) {
  const std::string options = "--max-steps 3 --save-steps 1 ";
  for (const int ranks : {1, 2}) {
    const std::string name = std::to_string(ranks), found = "found" + name, told = "told" + name;
    const auto asks = [&](const std::string& more) { return options + "--per-device-train-batch-size 64 " + more; };
    EXPECT_NE(train(found, asks("--auto-find-batch-size"), ranks,
                    {{"STANDIN_GPU_MB_0", kSmallMb}, kAllAtOnce, {"BERTH_FAILPOINT", "step@3"}})
                  .exit_code,
              0);
    const auto state = nlohmann::json::parse(read_bytes(at(found) + "/checkpoint-1/trainer_state.json"));
    const int size = state["train_batch_size"];
    ASSERT_TRUE(size == 32 || size == 16 || size == 8) << size;
    EXPECT_EQ(state["berth"]["global_batch"], 64 * ranks);

    // Goes on with what it began with, although more would fit now.
    const JobResult rest = train(found, asks("--auto-find-batch-size"), ranks);
    ASSERT_EQ(rest.exit_code, 0) << rest.err;
    EXPECT_NE(rest.err.find("micro-batches of " + std::to_string(size) + " samples fit, 64 were asked for"), std::string::npos)
        << rest.err;
    const auto jobs = nlohmann::json::parse(read_bytes(at(found) + "/provenance.json"))["jobs"];
    ASSERT_EQ(jobs.size(), 2u);
    for (const auto& job : jobs) EXPECT_EQ(job["train_batch_size"], size);

    const JobResult as_told = train(told,
                                    options + "--per-device-train-batch-size " + std::to_string(size) +
                                        " --gradient-accumulation-steps " + std::to_string(64 / size),
                                    ranks);
    ASSERT_EQ(as_told.exit_code, 0) << as_told.err;
    EXPECT_EQ(losses(at(found)), losses(at(told)));
    EXPECT_TRUE(read_bytes(at(found) + "/model.safetensors") == read_bytes(at(told) + "/model.safetensors"));
  }
  const JobResult too_small = train("no_sample", options + "--auto-find-batch-size", 2, {{"STANDIN_GPU_MB_1", "34"}, kAllAtOnce});
  EXPECT_EQ(too_small.exit_code, 2) << too_small.err;
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

// Which neither NCCL nor MPI would say of it: NCCL connects the ranks in its first call, and none returns from it.
TEST_F(StandinJob, ANetworkThatDoesNotConnectEndsTheJob) {
  const JobResult result = train("unconnected", kOptions + std::string("--ddp-timeout 3"), 3, {{"STANDIN_NCCL_STALL", "all:0"}});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find("waits in vain for broadcast (NCCL, which connects the ranks for it)"), std::string::npos)
      << result.err;
}

TEST_F(StandinJob, ARankWithoutAGpuIsNamed) {
  const JobResult result = train(
      "mixed", kOptions, 3, {.first = 1, .last = 1, .of_ranks = "env CUDA_VISIBLE_DEVICES= ", .of_others = "", .of_job = ""});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.err.find("computes on a GPU, and rank 1 on host "), std::string::npos) << result.err;
}

// Two of a host see its first two GPUs, the third one its next ones.
TEST_F(StandinJob, RanksThatSeeDifferentGpusTakeTheirs) {
  const auto seeing = [](const char* first) { return concat("env STANDIN_GPUS=2 STANDIN_FIRST_GPU=", first, " "); };
  const JobResult result =
      train("bound", kOptions, 3, {.first = 2, .last = 2, .of_ranks = seeing("2"), .of_others = seeing("0"), .of_job = ""});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const JobResult same =
      train("shared", kOptions, 3, {.first = 2, .last = 2, .of_ranks = seeing("1"), .of_others = seeing("0"), .of_job = ""});
  EXPECT_EQ(same.exit_code, 2);
  EXPECT_NE(same.err.find("rank 1 and rank 2 on host "), std::string::npos) << same.err;
  EXPECT_NE(same.err.find(" both compute on GPU 0000:02:00.0: start at most one rank per GPU"), std::string::npos) << same.err;
}

TEST_F(StandinJob, TrialsDoNotShareAGpu) {
  const JobResult result =
      run_berth("sweep --model " + at("model") + " --data " + at("data.h5") + " --output-dir " + at("crowded_sweep") +
                    " --search learning-rate=1e-4,1e-3 --eval-strategy epoch --max-steps 2",
                2, {{"STANDIN_GPUS", "1"}});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.err.find("2 ranks on this host, but 1 GPU"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace berth::test
