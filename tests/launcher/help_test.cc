// What is made of the options' table: --help, --help-all, completions and manual pages.
#include "launcher/help.h"

#include <gtest/gtest.h>
#include <wordexp.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <regex>
#include <sstream>
#include <tuple>

#include "data/check.h"
#include "data/files/files.h"
#include "launcher/completion.h"
#include "launcher/manual.h"
#include "tests/support/temp_dir.h"

namespace berth::launch {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

int columns(const std::string& text) {
  return static_cast<int>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string refusal(const std::vector<std::string>& arguments) {
  try {
    parse_command_line(arguments);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kUsage);
    return error.what();
  }
  return "";
}

std::string printed(const std::vector<std::string>& arguments) {
  try {
    parse_command_line(arguments);
  } catch (const HelpRequested& help) {
    return help.what;
  }
  ADD_FAILURE();
  return "";
}

// What a shell command prints, errors included.
std::string output_of(const std::string& command) {
  FILE* pipe = ::popen(command.c_str(), "r");
  std::string output;
  char buffer[4096];
  while (const size_t size = std::fread(buffer, 1, sizeof buffer, pipe)) output.append(buffer, size);
  const int status = ::pclose(pipe);
  return output + (status == 0 ? "" : concat("status ", status));
}

bool has_program(const std::string& name) { return std::system(("command -v " + name + " >/dev/null").c_str()) == 0; }

// The words of `name` with what it cannot do without.
std::vector<std::string> least(const CommandHelp& help) {
  std::vector<std::string> words{help.subcommand->name};
  const auto value = [](const OptionHelp& option) { return option.choices.empty() ? "x" : option.choices[0]; };
  for (const OptionHelp& option : help.positionals) words.push_back(value(option));
  for (const OptionGroup& group : help.groups)
    for (const OptionHelp& option : group.options)
      if (option.required) words.push_back(option.name() + "=" + value(option));
  return words;
}

TEST(Help, AllOptionsAreInHelpAllManualAndCompletions) {
  const std::string bash = bash_completion(), zsh = zsh_completion();
  for (const CommandHelp& help : all_command_help()) {
    CLI::App app;
    CommandLine line;
    declare_options(app, *help.subcommand, line);
    const std::string all = help_text(help, {}, true), page = std::regex_replace(manual_page(help), std::regex(R"(\\-)"), "-");
    const auto part = [&](const std::string& script) {
      const size_t begin = script.find("\n    " + help.subcommand->name + ")\n");
      return script.substr(begin, script.find(" ;;\n    ", begin) - begin);
    };
    for (const CLI::Option* option : app.get_options())
      for (const std::string& name : option->get_lnames()) {
        EXPECT_TRUE(std::regex_search(all, std::regex("\n  .*--" + name + "[ ,\n]"))) << help.subcommand->name << name;
        EXPECT_NE(page.find("\\fB--" + name + "\\fR"), std::string::npos) << help.subcommand->name << name;
        EXPECT_TRUE(std::regex_search(bash, std::regex("[ ']--" + name + "[ ']"))) << help.subcommand->name << name;
        EXPECT_NE(part(zsh).find("--" + name + "["), std::string::npos) << help.subcommand->name << name;
      }
  }
}

TEST(Help, FitsItsWidthAndIsShortByDefault) {
  constexpr int kScreen = 44;
  for (const int width : {60, 80}) {
    const HelpStyle style{.width = width};
    std::vector<std::string> texts{overview(style)};
    for (const CommandHelp& help : all_command_help()) {
      for (const bool all : {false, true}) texts.push_back(help_text(help, style, all));
      const std::string brief = help_text(help, style, false);
      if (width == 80) {
        EXPECT_LE(lines_of(brief).size(), kScreen) << brief;
      }
    }
    for (const std::string& text : texts)
      for (const std::string& line : lines_of(text)) EXPECT_LE(columns(line), width) << line;
  }
}

TEST(Help, IsPlainUnlessHeadingsAreToBeBold) {
  const CommandHelp help = command_help(subcommands()[0]);
  EXPECT_EQ(help_text(help, {}, true).find('\x1b'), std::string::npos);
  const std::string bold = help_text(help, {.bold = true}, false);
  EXPECT_NE(bold.find("\x1b[1mUsage\x1b[0m: berth prepare"), std::string::npos);
  EXPECT_EQ(std::regex_replace(bold, std::regex("\x1b\\[[01]m"), ""), help_text(help, {}, false));
}

TEST(Help, SaysWhatIsRequiredWhatMayBeAndWhatIsIfNothingIsSaid) {
  const std::string text = printed({"train", "--help"}), all = printed({"train", "--help-all"});
  EXPECT_EQ(text, printed({"help", "train"}));
  EXPECT_EQ(text, printed({"train", "--lr", "1", "-h"}));
  for (const char* line : {"\nUsage: berth train --model DIR --data FILE --output-dir DIR [options]\n",
                           "\n  --data FILE               the .h5 file that berth prepare wrote (required)\n",
                           "\n  --eval-strategy no|steps|epoch\n                            when to evaluate (default: no)\n",
                           "\n                            (default: per device x ranks x accumulation)\n"})
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
  EXPECT_NE(all.find("linear, cosine, "), std::string::npos);
  for (const CommandHelp& help : all_command_help()) {
    size_t shown = 0;
    for (const OptionGroup& group : help.essentials()) shown += group.options.size();
    EXPECT_EQ(shown, help.subcommand->essentials.size()) << help.subcommand->name << " has no such option";
    EXPECT_NE(printed({"help"}).find("\n  " + help.subcommand->name + " "), std::string::npos);
  }
}

TEST(Help, ExamplesAreUnderstood) {
  const test::TempDir folder;
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  test::write_bytes(folder / "options.json", R"({"model": "m", "data": "d.h5", "output_dir": "run"})");
  for (const Subcommand& subcommand : subcommands())
    for (const Example& example : subcommand.examples) {
      std::smatch found;  // without what is around it for the shell
      ASSERT_TRUE(std::regex_search(example.command, found, std::regex(R"(^(?:mpirun -np 8 )?berth (.*)$|<\(berth (.*?)\))")))
          << example.command;
      wordexp_t words{};
      ASSERT_EQ(::wordexp((found[1].str() + found[2].str()).c_str(), &words, WRDE_NOCMD), 0) << example.command;
      const CommandLine line = parse_command_line({words.we_wordv, words.we_wordv + words.we_wordc});
      if (const auto* train = std::get_if<TrainCommand>(&line.command)) train->options.validate();
      if (const auto* prepare = std::get_if<PrepareCommand>(&line.command)) prepare->options.validate();
      ::wordfree(&words);
      EXPECT_EQ(line.for_shell.substr(0, 6 + subcommand.name.size()), "berth " + subcommand.name);
    }
  std::filesystem::current_path(before);
}

TEST(Choices, AreWhatIsAccepted) {
  for (const CommandHelp& help : all_command_help())
    for (const OptionGroup& group : help.groups)
      for (const OptionHelp& option : group.options) {
        for (const std::string& choice : option.choices) {
          std::vector<std::string> words = least(help);
          words.push_back(concat(option.name(), "=", choice));
          EXPECT_EQ(refusal(words), "");
        }
        // What these may be is known later, by the data or the machine.
        const bool open =
            !option.other.empty() || option.name() == "--split" || option.name() == "--device" || option.name() == "--platform";
        if (option.choices.empty() || open) continue;
        std::vector<std::string> words = least(help);
        words.push_back(option.name() + "=no-such-choice");
        const std::string message = refusal(words);
        EXPECT_NE(message, "") << option.name();
        if (option.choices[0] == "true") continue;
        for (const std::string& choice : option.choices) EXPECT_NE(message.find(choice), std::string::npos) << message << choice;
      }
}

TEST(Choices, NearMissesAreToldTheNearest) {
  for (const auto& [words, says] :
       {std::tuple(std::vector<std::string>{"trian"}, "unknown command trian; did you mean train? (berth --help"),
        {{"help", "trian"}, "; did you mean train?"},
        {{"xyzzy"}, "unknown command xyzzy (berth"},
        {{"train", "--eval-strategy", "epohc"}, "; did you mean epoch?"},
        {{"train", "--lr-scheduler-type", "cosine_restarts"}, "; did you mean cosine_with_restarts?"},
        {{"train", "--report-to", "jsonl,tensorbord"}, "; did you mean tensorboard?"},
        {{"prepare", "--task", "regresion"}, "; did you mean regression?"},
        {{"completion", "zhs"}, "use bash or zsh; did you mean zsh?"}})
    EXPECT_NE(refusal(words).find(says), std::string::npos) << refusal(words);
  EXPECT_EQ(refusal({"train", "--optim", "xy"}).find("did you mean"), std::string::npos);
}

TEST(Required, IsNamedWhenAllElseIsRight) {
  EXPECT_EQ(refusal({"evaluate", "--model", "m"}),
            "berth evaluate needs --data (the .h5 file that berth prepare wrote); see berth evaluate --help");
  EXPECT_EQ(refusal({"inspect"}),
            "berth inspect needs path (an .h5 file of berth prepare, a model folder, a checkpoint or a run folder); see berth "
            "inspect --help");
  const std::string both = refusal({"prepare", "--train-file", "t.csv"});
  EXPECT_NE(both.find("--tokenizer (a model"), std::string::npos) << both;
  EXPECT_NE(both.find("--output (the .h5"), std::string::npos) << both;
  EXPECT_EQ(refusal({"scale", "--from", "m.json"}), "");
}

class Scripts : public testing::Test {
 protected:
  // What bash proposes for the last of `words`, sorted.
  std::string proposed(const std::string& words) {
    return output_of(concat(
        "cd ", folder_.path().string(), " && bash -c '. ./bash/berth; COMP_WORDS=(", words,
        "); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _berth; printf \"%s\\n\" \"${COMPREPLY[@]}\" | LC_ALL=C sort | tr \"\\n\" "
        "\" \"' 2>&1"));
  }
  void SetUp() override { run_generate({.folder = folder_.path()}); }
  test::TempDir folder_;
};

TEST_F(Scripts, BashCompletesCommandsOptionsChoicesAndFiles) {
  test::write_bytes(folder_.path() / "data.h5", "");
  std::filesystem::create_directory(folder_.path() / "my model");
  for (const auto& [words, expected] : {std::pair("berth pre", "predict prepare "),
                                        {"berth help sc", "scale "},
                                        {"berth train --warmup", "--warmup-ratio --warmup-steps "},
                                        {"berth train --eval_str", "--eval-strategy "},
                                        {"berth train --optim \"\"", "adamw lamb "},
                                        {"berth train --lr_scheduler_type con", "constant constant_with_warmup "},
                                        {"berth train --optim = l", "lamb "},
                                        {"berth train --optim =", "adamw lamb "},
                                        {"berth train --seed \"\"", " "},
                                        {"berth train --bf16 --fp", "--fp16 "},
                                        {"berth train --data da", "data.h5 "},
                                        {"berth train --model m", "man1 my model "},
                                        {"berth train --resume-from-checkpoint \"\"", "auto bash man1 my model none zsh "},
                                        {"berth inspect da", "data.h5 "},
                                        {"berth inspect --js", "--json "},
                                        {"berth completion \"\"", "bash zsh "},
                                        {"berth generate \"\"", " "}})
    EXPECT_EQ(proposed(words), expected) << words;
}

TEST_F(Scripts, ZshUnderstandsItsOwn) {
  if (!has_program("zsh")) GTEST_SKIP() << "no zsh here";
  EXPECT_EQ(output_of(concat("zsh -n ", (folder_.path() / "zsh/_berth").string(), " 2>&1")), "");
}

TEST_F(Scripts, ManualPagesAreOnesThatManReadsWithoutWarnings) {
  size_t pages = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder_.path() / "man1")) {
    ++pages;
    const std::vector<std::string> lines = lines_of(data::read_file(file.path()));
    EXPECT_TRUE(lines[0].starts_with(".TH BERTH"));
    for (size_t i = 0; i < lines.size(); ++i) {
      EXPECT_TRUE(!lines[i].starts_with(".") || std::regex_search(lines[i], std::regex(R"(^\.(TH|SH|SS|TP|PP|nf|fi|ad l|nh)\b)")))
          << lines[i];
      EXPECT_FALSE(lines[i].empty() || lines[i].starts_with("'")) << file.path() << i;
      if (lines[i] == ".TP") {
        EXPECT_FALSE(lines[i + 1].starts_with(".") || lines[i + 2].starts_with(".")) << lines[i + 1];
      }
    }
    if (has_program("groff")) {
      EXPECT_EQ(output_of(concat("groff -ww -man -Kutf8 -Tutf8 -z ", file.path().string(), " 2>&1")), "");
    }
  }
  EXPECT_EQ(pages, 1 + all_command_help().size());
}

}  // namespace
}  // namespace berth::launch
