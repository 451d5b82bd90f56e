#include <gtest/gtest.h>

#include <sstream>
#include <tuple>

#include "data/check.h"
#include "launcher/options.h"
#include "tests/support/temp_dir.h"

namespace berth::launch {
namespace {

class ConfigFile : public testing::Test {
 protected:
  train::TrainOptions parse(const std::string& config, std::vector<std::string> more = {}, const std::string& name = "c.json") {
    more.insert(more.begin(),
                {"train", "--config", test::write_bytes(folder_ / name, config).string(), "--data", "d", "--output-dir", "o"});
    if (config.find("model") == std::string::npos) more.insert(more.end(), {"--model", "m"});
    return std::get<TrainCommand>(parse_command_line(more).command).options;
  }
  std::string refusal(const std::string& config, const std::string& name = "c.json") {
    try {
      parse(config, {}, name);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kUsage);
      return error.what();
    }
    return "";
  }
  static std::string report_to(const train::TrainOptions& options) {
    const train::ReportTo& to = options.logging.report_to;
    return std::string(to.jsonl ? "jsonl" : "") + (to.tensorboard ? "tensorboard" : "");
  }

  test::TempDir folder_;
};

TEST_F(ConfigFile, AListIsAList) {
  EXPECT_EQ(report_to(parse(R"({"report_to": ["tensorboard", "jsonl"]})")), "jsonltensorboard");
  EXPECT_EQ(report_to(parse(R"({"report_to": ["jsonl"]})")), "jsonl");
  EXPECT_EQ(report_to(parse("report_to = ['tensorboard', 'jsonl']\n", {}, "c.toml")), "jsonltensorboard");
  EXPECT_EQ(parse(R"({"freeze": ["embeddings", "layer.0"]})").model_options.freeze,
            (std::vector<std::string>{"embeddings", "layer.0"}));
  EXPECT_EQ(
      refusal(R"({"report_to": ["jsonl", "tensorboards"]})"),
      "--report-to tensorboards: berth writes jsonl and tensorboard; give one of them, both, or none; did you mean tensorboard?");
}

TEST_F(ConfigFile, AnOptionOfOneValueTakesNoList) {
  EXPECT_EQ(refusal(R"({"learning_rate": [1e-3, 2e-3]})"),
            (folder_ / "c.json").string() + ": option learning_rate is a list of 2 values; it takes one");
  for (const char* option : {"bf16", "seed", "output_dir", "eval_strategy", "greater_is_better", "data_seed"})
    EXPECT_NE(refusal("{\"" + std::string(option) + "\": [1, 2]}").find("it takes one"), std::string::npos) << option;
  EXPECT_NE(refusal("learning_rate = [1e-3, 2e-3]\n", "c.toml").find("it takes one"), std::string::npos);
  EXPECT_NE(refusal(R"({"report_to": []})").find("option report_to is an empty list"), std::string::npos);
}

TEST_F(ConfigFile, TheCommandLineTakesTheListsPlace) {
  EXPECT_EQ(report_to(parse(R"({"report_to": ["tensorboard"]})", {"--report_to", "jsonl"})), "jsonl");
  EXPECT_EQ(report_to(parse(R"({"report_to": "none"})", {"--report-to=jsonl"})), "jsonl");
  EXPECT_EQ(parse(R"({"freeze": ["encoder"]})", {"--freeze", "layer.0"}).model_options.freeze,
            std::vector<std::string>{"layer.0"});
  EXPECT_EQ(parse(R"({"model_name_or_path": "file"})", {"--model", "line"}).model, "line");
  const std::string second = test::write_bytes(folder_ / "second.json", R"({"report_to": ["jsonl"]})").string();
  EXPECT_EQ(report_to(parse(R"({"report_to": ["tensorboard"]})", {"--config", second})), "jsonl");
}

TEST(UnknownOption, SaysWhatItIsCalledHereOrWhoseItIs) {
  for (const auto& [command, option, says] :
       {std::tuple("train", "--lr", "; did you mean --learning-rate?"),
        {"train", "--epochs", "; did you mean --num-train-epochs?"},
        {"train", "--batch-size", "; did you mean --per-device-train-batch-size or --global-batch-size?"},
        {"train", "--warmup", "; did you mean --warmup-steps or --warmup-ratio?"},
        {"train", "--label_smoothing", "; did you mean --label-smoothing-factor?"},
        {"train", "--use_cpu", "; did you mean --device cpu?"},
        {"train", "--activation_checkpointing", "; did you mean --gradient-checkpointing?"},
        {"train", "--do_train", "; Trainer's setting has no effect here, leave it out (berth train trains)"},
        {"train", "--ray_scope", "; Trainer's setting has no effect here, leave it out (berth"},
        {"train", "--neftune_noise_alpha", "; berth has nothing like Trainer's setting (berth adds no noise to embeddings"},
        {"train", "--per_gpu_train_batch_size", "; did you mean --per-device-train-batch-size?"},
        {"train", "--train-file", "; it is an option of berth prepare, which makes the .h5 file of --data (berth"},
        {"train", "--search", "; it is an option of berth sweep (berth"},
        {"train", "--xxxxxxxxxxxxxxxx", "unknown option --xxxxxxxxxxxxxxxx (berth train --help-all"},
        {"sweep", "--lr", "; did you mean --learning-rate?"},
        {"predict", "--batch-size", "; did you mean --per-device-eval-batch-size?"},
        {"predict", "--data", "; it is an option of berth train, check, sweep, evaluate, scale (berth"},
        {"prepare", "--model", "; did you mean --tokenizer?"},
        {"prepare", "--dev-file", "; did you mean --validation-file?"},
        {"train", "--eval-batch-size", "; did you mean --per-device-eval-batch-size?"},
        {"--verison", "", "unknown option --verison; did you mean --version?"},
        {"--data", "x.h5 train", "unknown option --data (options come behind the command; berth --help lists the commands)"},
        {"train", "--learning-rate fast", "--learning-rate: expected a number, got 'fast'"},
        {"train", "--max-steps 1e3", "--max-steps: expected a whole number, got '1e3'"},
        {"predict", "--max-length=2.5", "--max-length: expected a whole number, got '2.5'"},
        {"train", "--model --data x.h5", "--model has no value: --data follows it (is a variable of the script empty?)"},
        {"train", "--config options.yaml", "YAML is not read; write TOML"},
        {"prepare", "--do-train", "unknown option --do-train (berth prepare --help"}}) {
    std::vector<std::string> arguments;
    std::istringstream words(concat(command, " ", option));
    for (std::string word; words >> word;) arguments.push_back(word);
    try {
      parse_command_line(arguments);
      ADD_FAILURE() << command << option;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kUsage);
      EXPECT_NE(std::string(error.what()).find(says), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace berth::launch
