#include <gtest/gtest.h>

#include <sstream>

#include "launcher/cmd_inspect.h"
#include "tests/data/dataset_file.h"
#include "tests/trainer/checkpoint/tensor_test_util.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/provenance.h"
#include "trainer/model/config.h"
#include "trainer/report/metrics_file.h"
#include "trainer/report/results.h"
#include "trainer/run/run_state.h"

namespace berth::launch {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using data::testing::TempDir;

std::string model_config() {
  train::BertConfig config;
  config.vocab_size = 6;
  config.hidden_size = 8;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 2;
  config.intermediate_size = 16;
  config.label_names = {"bad", "good"};
  return config.to_json("BertForSequenceClassification");
}

std::vector<data::FileDigest> write_model(const fs::path& folder) {
  return {data::write_durably(folder / "config.json", model_config()),
          data::write_durably(folder / "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nboat\n"),
          data::write_durably(
              folder / "model.safetensors",
              train::safetensors_bytes({{"bert.embeddings.word_embeddings.weight", {6, 8}}, {"classifier.bias", {2}}}))};
}

// A run of 30 steps, saved at 10 and 20.
void write_run(const fs::path& run) {
  train::RunState state;
  state.horizon.total_steps = 30;
  state.horizon.global_batch = 8;
  state.horizon.num_samples = 80;
  state.best.metric = 0.75;
  state.best.step = 10;
  state.kept = {.step = 10, .metric = 0.75, .checkpoint = "checkpoint-10"};
  for (const int64_t step : {10, 20}) {
    state.global_step = step;
    state.samples_seen = 8 * step;
    ASSERT_EQ(train::save_checkpoint(run, {step, write_model, {}, state.to_json(static_cast<double>(step) / 10)}), "");
  }
  train::MetricsFile metrics(run / "metrics.jsonl", 0);
  metrics.log({.step = 20, .epoch = 2, .loss = 0.5});
  metrics.eval({.step = 20, .epoch = 2, .metrics = {{"loss", 0.25, train::MetricKind::kLoss}}});
  train::write_results(run, "eval", {{"eval_loss", 0.25, train::MetricKind::kLoss}});
  train::Provenance provenance;
  provenance.berth_version = "0.1.0";
  provenance.job.ranks = 4;
  train::write_provenance(run, provenance);
}

Json inspect(const fs::path& path, ExitCode code = ExitCode::kOk) {
  std::ostringstream out;
  EXPECT_EQ(run_inspect({.path = path, .json = true}, out), static_cast<int>(code));
  return Json::parse(out.str());
}

std::string inspect_text(const fs::path& path) {
  std::ostringstream out;
  run_inspect({.path = path}, out);
  return out.str();
}

TEST(Inspect, DataSet) {
  const TempDir folder;
  data::testing::write_dataset(folder / "data.h5", data::TaskKind::kSequenceClassification, 10);
  const Json found = inspect(folder / "data.h5");
  EXPECT_EQ(found["kind"], "data set");
  EXPECT_EQ(found["task"], "sequence-classification");
  EXPECT_EQ(found["sources"]["train.csv"], std::string(64, 'b'));
  EXPECT_EQ(found["splits"][0].dump(),
            R"({"split":"train","samples":10,"tokens":49,"shortest":2,"median":5,"mean":4.9,"longest":9})");
  EXPECT_EQ(found["samples_by_label"]["train"].dump(), R"({"label 0":4,"label 1":3,"label 2":3})");
  EXPECT_NE(inspect_text(folder / "data.h5").find("  train            10      49         2       5   4.9        9\n"),
            std::string::npos)
      << inspect_text(folder / "data.h5");
}

TEST(Inspect, Model) {
  const TempDir folder;
  write_model(folder.path());
  const Json found = inspect(folder.path());
  EXPECT_EQ(found["kind"], "model");
  EXPECT_EQ(found["architecture"].dump(), R"(["BertForSequenceClassification"])");
  EXPECT_EQ(found["config"]["layers"], 2);
  EXPECT_EQ(found["labels"].dump(), R"(["bad","good"])");
  EXPECT_EQ(found["tokenizer"]["vocabulary"], 6);
  EXPECT_EQ(found["parameters"], 50);
  EXPECT_EQ(found["tensors"][0].dump(),
            R"({"name":"bert.embeddings.word_embeddings.weight","type":"F32","shape":"[6, 8]","elements":48})");
}

TEST(Inspect, AModelWhoseTokenizerIsDamagedIsNoGoodInput) {
  const TempDir dir;
  write_model(dir.path());
  std::ostringstream out;
  EXPECT_EQ(run_inspect({.path = dir.path()}, out), 0);
  data::write_durably(dir / "tokenizer_config.json", "{");
  EXPECT_EQ(run_inspect({.path = dir.path()}, out), 3);
  EXPECT_NE(out.str().find("tokenizer_config.json: not valid JSON"), std::string::npos) << out.str();
}

TEST(Inspect, CheckpointSaysWhereItStandsAndWhetherItIsWhole) {
  const TempDir run;
  write_run(run.path());
  const Json found = inspect(run / "checkpoint-20");
  EXPECT_EQ(found["kind"], "checkpoint");
  EXPECT_EQ(found["whole"], true);
  EXPECT_EQ(found["step"], 20);
  EXPECT_EQ(found["steps_in_all"], 30);
  EXPECT_EQ(found["epoch"], 2.0);
  EXPECT_EQ(found["best_metric"], 0.75);
  EXPECT_EQ(found["parameters"], 50);

  data::testing::flip_bit(run / "checkpoint-20" / "model.safetensors", 200, 0);
  const Json broken = inspect(run / "checkpoint-20", ExitCode::kBadInput);
  EXPECT_EQ(broken["whole"], false);
  EXPECT_NE(broken["problem"].get<std::string>().find("model.safetensors"), std::string::npos);
}

TEST(Inspect, RunSaysWhereItGoesOn) {
  const TempDir run;
  write_run(run.path());
  Json found = inspect(run.path());
  EXPECT_EQ(found["kind"], "run");
  EXPECT_EQ(found["goes_on"], "from step 20");
  EXPECT_EQ(found["results"]["eval_loss"], 0.25);
  EXPECT_EQ(found["last_log"]["loss"], 0.5);
  EXPECT_EQ(found["last_evaluation"]["eval_loss"], 0.25);
  EXPECT_EQ(found["jobs"][0]["ranks"], 4);
  EXPECT_EQ(found["checkpoints"].size(), 2u);

  data::testing::flip_bit(run / "checkpoint-20" / "model.safetensors", 200, 0);
  found = inspect(run.path(), ExitCode::kBadInput);
  EXPECT_EQ(found["goes_on"], "from step 10");
  EXPECT_EQ(found["checkpoints"][1]["whole"], false);
  EXPECT_TRUE(fs::exists(run / "checkpoint-20")) << "looking changes nothing";

  fs::remove_all(run / "checkpoint-10");
  EXPECT_EQ(inspect(run.path(), ExitCode::kBadInput)["goes_on"], "from the start: there is no whole checkpoint");
}

TEST(Inspect, ADamagedBestCheckpointIsSeenThoughTheNewestIsWhole) {
  const TempDir run;
  write_run(run.path());
  data::testing::flip_bit(run / "checkpoint-10" / "model.safetensors", 200, 0);
  const Json found = inspect(run.path(), ExitCode::kBadInput);
  EXPECT_EQ(found["goes_on"], "from step 20");
  EXPECT_EQ(found["checkpoints"][0]["whole"], false);
}

TEST(Inspect, OtherThingsAreRefused) {
  const TempDir folder;
  const auto refusal = [](const fs::path& path) { return data::testing::error_of([&] { inspect_text(path); }); };
  EXPECT_NE(refusal(folder.path()).find("neither a model folder"), std::string::npos);
  EXPECT_NE(refusal(folder / "absent").find("there is no "), std::string::npos);
  data::testing::write_bytes(folder / "text.h5", "no HDF5");
  EXPECT_NE(refusal(folder / "text.h5"), "");
}

TEST(InspectText, AlignsScalarsSectionsAndTables) {
  const Json object = {{"kind", "x"},
                       {"lower_case", true},
                       {"none", nullptr},
                       {"labels", {"a", "b"}},
                       {"empty", Json::array()},
                       {"config", {{"layers", 6}, {"drop\x1b", 0.125}}},
                       {"rows", {{{"name", "é"}, {"count", 5}}, {{"name", "bcd"}, {"count", 12345}}}}};
  EXPECT_EQ(describe_as_text(object),
            "kind        x\n"
            "lower_case  yes\n"
            "none        -\n"
            "labels      a, b\n"
            "empty       none\n"
            "config\n"
            "  layers    6\n"
            "  drop\\x1b  0.125\n"
            "rows\n"
            "  name  count\n"
            "  é         5\n"
            "  bcd   12345\n");
}

}  // namespace
}  // namespace berth::launch
