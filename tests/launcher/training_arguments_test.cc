#include "launcher/training_arguments.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "data/check.h"
#include "data/files/files.h"
#include "data/json/json.h"
#include "data/words.h"
#include "launcher/options.h"
#include "tests/support/temp_dir.h"

namespace berth::launch {
namespace {

using Json = nlohmann::json;
using Else = TrainerSetting::Else;

class TrainerFile : public testing::Test {
 protected:
  CommandLine parse(const Json& file, std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"train", "--config", test::write_bytes(folder_ / "t.json", data::dump_json(file)).string(),
                               "--model", "m", "--data", "d"});
    if (!file.contains("output_dir")) more.insert(more.end(), {"--output-dir", "o"});
    return parse_command_line(more);
  }
  TrainCommand train(const Json& file, std::vector<std::string> more = {}) {
    return std::get<TrainCommand>(parse(file, std::move(more)).command);
  }
  std::string refusal(const Json& file, std::vector<std::string> more = {}) {
    try {
      parse(file, std::move(more));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kUsage);
      return std::string(error.what()).substr((folder_ / "t.json: ").string().size());
    }
    return "";
  }

  test::TempDir folder_;
};

// What Trainer would write: all settings that `chosen` takes, at the values it gives.
template <class Value>
Json file_of(const Value& value) {
  Json file = Json::object();
  for (const TrainerSettings& group : trainer_settings())
    for (const TrainerSetting& setting : group.settings) {
      const size_t dot = setting.name.find('.');
      Json& object = dot == std::string::npos ? file : file[setting.name.substr(0, dot)];
      if (const auto its = value(setting)) object[setting.name.substr(dot == std::string::npos ? 0 : dot + 1)] = *its;
    }
  return file;
}

TEST_F(TrainerFile, OfDefaultsIsTaken) {
  Json file = file_of([](const TrainerSetting& setting) -> std::optional<Json> {
    if (setting.name == "accelerator_config") return std::nullopt;
    return setting.standard;
  });
  const CommandLine line = parse(file);
  const train::TrainOptions& options = std::get<TrainCommand>(line.command).options;
  EXPECT_EQ(options.logging.logging_steps, 500);
  EXPECT_EQ(options.optimizer.optim, train::Optim::kAdamW);
  EXPECT_EQ(options.output_dir, "trainer_output");
  EXPECT_EQ(std::get<TrainCommand>(line.command).device.device, "auto");
  ASSERT_EQ(line.remarks.size(), 1u);
  EXPECT_NE(line.remarks[0].summary.find(" of Trainer's settings have no effect here, all at their defaults"), std::string::npos);
  EXPECT_NE(line.remarks[0].names.find("dataloader_num_workers 0"), std::string::npos);
  file["dataloader_num_workers"] = 4;
  file["run_name"] = "mine";
  EXPECT_NE(parse(file).remarks[0].summary.find("not at their defaults: dataloader_num_workers 4, run_name mine"),
            std::string::npos);
}

TEST_F(TrainerFile, AllThatCannotBeDoneIsOneError) {
  std::vector<std::string> names;
  const Json file = file_of([&](const TrainerSetting& setting) -> std::optional<Json> {
    if (setting.otherwise != Else::kRefuse || setting.name == "accelerator_config") return std::nullopt;
    names.push_back(setting.name);
    EXPECT_FALSE(setting.remark.empty()) << setting.name;
    return "x";
  });
  const std::string said = refusal(file);
  for (const std::string& name : names) EXPECT_NE(said.find(name + " x ("), std::string::npos) << name << ": " << said;
}

TEST_F(TrainerFile, EqualsAreUsed) {
  EXPECT_EQ(train({{"use_cpu", true}}).device.device, "cpu");
  EXPECT_EQ(train({{"no_cuda", true}}, {"--device", "cuda"}).device.device, "cuda");
  EXPECT_EQ(train({{"optim", "adamw_torch"}}).options.optimizer.optim, train::Optim::kAdamW);
  EXPECT_EQ(train({{"optim", "lamb"}}).options.optimizer.optim, train::Optim::kLamb);
  EXPECT_TRUE(train({{"activation_checkpointing", true}, {"gradient_checkpointing", false}})
                  .options.model_options.gradient_checkpointing);
  EXPECT_EQ(train({{"logging_strategy", "epoch"}, {"logging_steps", 500}}).options.logging.logging_steps, 0);
  EXPECT_EQ(train({{"logging_strategy", "steps"}, {"logging_steps", 0.1}}).options.logging.logging_steps, 0.1);
  EXPECT_EQ(parse({{"log_level", "critical"}}).log_level, "error");
  EXPECT_EQ(parse({{"log_level", "passive"}}).log_level, "info");
}

TEST_F(TrainerFile, MetricsAreWrittenWhateverTrainerReportsTo) {
  for (const auto& [names, tensorboard, remarks] :
       {std::tuple(Json::array(), false, 1), {Json::array({"tensorboard"}), true, 1}, {Json::array({"wandb", "all"}), true, 2}}) {
    const CommandLine line = parse({{"do_train", true}, {"report_to", names}});
    const train::ReportTo& to = std::get<TrainCommand>(line.command).options.logging.report_to;
    EXPECT_TRUE(to.jsonl);
    EXPECT_EQ(to.tensorboard, tensorboard) << names;
    EXPECT_EQ(line.remarks[0].summary.find(std::to_string(remarks) + " of Trainer's") != std::string::npos, true);
  }
  EXPECT_FALSE(train({{"report_to", "tensorboard"}}).options.logging.report_to.jsonl);  // nothing of Trainer's: berth's own file
}

TEST_F(TrainerFile, TheCommandLineWins) {
  EXPECT_EQ(
      refusal({{"optim", "sgd"}}),
      "berth train cannot do what Trainer's settings ask for: optim sgd (berth has AdamW and LAMB: take adamw_torch or lamb)");
  EXPECT_EQ(train({{"optim", "sgd"}}, {"--optim", "lamb"}).options.optimizer.optim, train::Optim::kLamb);
  const Json drops{{"do_train", true}, {"dataloader_drop_last", true}, {"gradient_accumulation_steps", 2}};
  EXPECT_NE(refusal(drops).find("dataloader_drop_last true (Trainer drops"), std::string::npos);
  EXPECT_TRUE(train(drops, {"--dataloader-drop-last"}).options.batch.drop_last);
  EXPECT_NE(refusal({{"max_grad_norm", nullptr}}).find("max_grad_norm null ("), std::string::npos);
}

TEST_F(TrainerFile, WhatASweepSearchesIsNotTheFiles) {
  const std::string file = test::write_bytes(folder_ / "t.json", R"({"learning_rate": 5e-5, "weight_decay": 0.1})").string();
  for (const std::vector<std::string>& search :
       {std::vector<std::string>{"--search", "seed=1,2", "learning_rate=1e-5,2e-5"}, {"--search=learning-rate=1e-5,2e-5"}}) {
    std::vector<std::string> arguments{"sweep", "--config", file, "--model=m", "--data=d", "--output-dir=o"};
    arguments.insert(arguments.end(), search.begin(), search.end());
    const auto given = std::get<SweepCommand>(parse_command_line(arguments).command).train_arguments;
    EXPECT_EQ(given, (std::vector<std::string>{"--model=m", "--data=d", "--output-dir=o", "--weight-decay=0.1"}));
  }
}

TEST_F(TrainerFile, UnknownNamesAreListed) {
  EXPECT_EQ(
      refusal({{"learnin_rate", 1}, {"fsdp", true}, {"xxxxxxxxxxxxxxxx", 2}, {"do_train", true}}),
      "berth train cannot do what Trainer's settings ask for: fsdp true (every rank has all parameters; set it to null, and "
      "--zero 1 shares AdamW's moments); also unknown options learnin_rate; did you mean --learning-rate?, xxxxxxxxxxxxxxxx "
      "(berth "
      "train --help-all lists them)");
  try {
    parse_command_line({"prepare", "--config", test::write_bytes(folder_ / "t.json", R"({"do_train": true})").string()});
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("unknown option do_train"), std::string::npos) << error.what();
  }
  try {
    parse_command_line({"evaluate", "--config", test::write_bytes(folder_ / "t.json", R"({"accelerator_config": {}})").string()});
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("which are for berth train and sweep"), std::string::npos) << error.what();
  }
}

std::string code(const Json& value) {
  const bool plain = value.is_string() && !value.get<std::string>().empty();
  return "`" + (plain ? value.get<std::string>() : data::dump_json(value)) + "`";
}

std::string flag(std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  return "--" + name;
}

// What becomes of a value.
std::string outcome(const TrainerSetting& setting, const std::optional<std::string>& option) {
  return !option ? "error" : option->empty() ? "no effect" : concat("`", flag(setting.option), " ", *option, "`");
}

// What the documentation says of a setting: "`true`, `1`: `--device cpu`; `false`: no effect".
std::string meaning(const TrainerSetting& setting) {
  std::vector<std::string> parts;
  if (setting.otherwise == Else::kUse && (setting.is_option() || setting.values.empty()))
    parts.push_back("`" + flag(setting.option) + "`");
  if (setting.otherwise == Else::kRefuse && setting.option.empty()) parts.push_back(code(setting.standard) + ": no effect");
  for (auto value = setting.values.begin(); value != setting.values.end();) {
    const auto end = std::find_if(value, setting.values.end(), [&](const auto& it) { return it.second != value->second; });
    const std::vector<std::pair<Json, std::optional<std::string>>> alike(value, end);
    parts.push_back(joined(alike, ", ", [](const auto& it) { return code(it.first); }) + ": " + outcome(setting, value->second));
    value = end;
  }
  if (setting.otherwise == Else::kIdle) parts.emplace_back("no effect");
  if (setting.otherwise == Else::kRefuse) parts.emplace_back("else an error");
  return joined(parts, "; ");
}

// The tables of docs/from-trainer.md.
std::string documented() {
  std::string text;
  for (const TrainerSettings& group : trainer_settings()) {
    text += "\n### " + group.title + "\n| Trainer | default | `berth train` | |\n|---|---|---|---|\n";
    for (const TrainerSetting& s : group.settings)
      text += concat("| `", s.name, "` | ", code(s.standard), " | ", meaning(s), " | ", s.remark, " |\n");
  }
  return text;
}

TEST(TrainerSettings, AreAsDocumented) {
  const std::string file = data::read_file(std::string(BERTH_SOURCE_DIR) + "/docs/from-trainer.md");
  const std::string begin = "<!-- tests/launcher/training_arguments_test.cc -->\n", end = "\n<!-- end -->\n";
  const size_t from = file.find(begin), to = file.find(end);
  ASSERT_TRUE(from != std::string::npos && to != std::string::npos && from < to);
  const std::string table = documented();
  EXPECT_TRUE(file.substr(from + begin.size(), to - from - begin.size()) == table)
      << "docs/from-trainer.md: between its marks belongs\n"
      << table;
}

TEST(TrainerSettings, NameOptionsThatThereAre) {
  std::string help;
  try {
    parse_command_line({"train", "--help-all"});
  } catch (const HelpRequested& requested) {
    help = requested.what;
  }
  std::vector<std::string> names;
  for (const TrainerSettings& group : trainer_settings())
    for (const TrainerSetting& setting : group.settings) {
      EXPECT_TRUE(setting.option.empty() || help.find(flag(setting.option)) != std::string::npos) << setting.option;
      EXPECT_TRUE(setting.otherwise != Else::kUse || !setting.option.empty()) << setting.name;
      EXPECT_EQ(std::count(names.begin(), names.end(), setting.name), 0) << setting.name;
      names.push_back(setting.name);
    }
}

}  // namespace
}  // namespace berth::launch
