#include <gtest/gtest.h>

#include "data/check.h"
#include "launcher/options.h"
#include "tests/support/temp_dir.h"

namespace berth::launch {
namespace {

class ConfigFile : public testing::Test {
 protected:
  train::TrainOptions parse(const std::string& config, std::vector<std::string> more = {}, const std::string& name = "c.json") {
    more.insert(more.begin(), {"train", "--config", test::write_bytes(folder_ / name, config).string()});
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
  EXPECT_EQ(refusal(R"({"report_to": ["jsonl", "tensorboards"]})"),
            "--report-to tensorboards: berth writes jsonl and tensorboard; give one of them, both, or none");
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

}  // namespace
}  // namespace berth::launch
