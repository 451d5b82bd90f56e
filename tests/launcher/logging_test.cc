#include "launcher/logging.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <regex>
#include <sstream>

#include "data/check.h"
#include "tests/support/pipe.h"
#include "tests/support/temp_dir.h"

namespace berth::launch {
namespace {

namespace fs = std::filesystem;
using testing_support::Pipe;

class LoggingTest : public testing::Test {
 protected:
  ~LoggingTest() override { stop_logging(); }

  // What the console shows of one record of each severity.
  std::string console_output(const std::string& level, int rank) {
    Pipe pipe;
    start_logging(std::make_shared<Console>(pipe.write_end()), level, rank);
    BOOST_LOG_TRIVIAL(debug) << "fine";
    BOOST_LOG_TRIVIAL(info) << "said";
    BOOST_LOG_TRIVIAL(warning) << "odd";
    BOOST_LOG_TRIVIAL(error) << "bad";
    stop_logging();
    return std::regex_replace(pipe.close_and_read(), std::regex("\\d\\d:\\d\\d:\\d\\d"), "T");
  }
};

TEST_F(LoggingTest, RankZeroSpeaksAndOthersOnlyWarn) {
  EXPECT_EQ(console_output("info", 0), "T said\nT warning: odd\nT error: bad\n");
  EXPECT_EQ(console_output("debug", 0), "T debug: fine\nT said\nT warning: odd\nT error: bad\n");
  EXPECT_EQ(console_output("debug", 3), "T warning: rank 3: odd\nT error: rank 3: bad\n");
  EXPECT_EQ(console_output("error", 1), "T error: rank 1: bad\n");
}

TEST_F(LoggingTest, UnknownLevelIsAUsageError) {
  try {
    parse_log_level("loud");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kUsage);
    EXPECT_NE(std::string(error.what()).find("'loud'"), std::string::npos);
  }
}

TEST_F(LoggingTest, FileIsAppendedWithTimeRankAndSeverity) {
  const test::TempDir folder;
  const fs::path path = folder / "berth.log";
  for (const char* text : {"first job", "second job"}) {
    Pipe pipe;
    start_logging(std::make_shared<Console>(pipe.write_end()), "warning", 0);
    log_to_file(path, "info", std::make_shared<Console>(pipe.write_end()));
    BOOST_LOG_TRIVIAL(info) << text;
    BOOST_LOG_TRIVIAL(debug) << "not here";
    stop_logging();
    EXPECT_EQ(pipe.close_and_read(), "");
  }
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  fs::remove(path);
  const std::string line = "\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d\\.\\d{6} rank 0 info: ";
  EXPECT_TRUE(std::regex_match(text.str(), std::regex(line + "first job\n" + line + "second job\n"))) << text.str();
}

TEST_F(LoggingTest, FileThatCannotBeWrittenIsSaidOnTheConsole) {
  const test::TempDir folder;
  const fs::path path = folder / "not there/berth.log";
  Pipe pipe;
  const auto console = std::make_shared<Console>(pipe.write_end());
  start_logging(console, "warning", 0);
  log_to_file(path, "info", console);
  BOOST_LOG_TRIVIAL(info) << "first";
  fs::create_directory(path.parent_path());
  BOOST_LOG_TRIVIAL(info) << "second";
  stop_logging();
  const std::string said = std::regex_replace(pipe.close_and_read(), std::regex("\\d\\d:\\d\\d:\\d\\d"), "T");
  EXPECT_EQ(said,
            "T warning: " + path.string() +
                ": cannot be written: No such file or directory; work goes on, and what is missing there is written when that "
                "works again\nT warning: " +
                path.string() + ": written again, nothing is lost\n");
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  EXPECT_TRUE(std::regex_match(text.str(), std::regex(".*info: first\n.*info: second\n"))) << text.str();
}

// Standard error has it from elsewhere; a rank that has not opened the file does so for it.
TEST_F(LoggingTest, TheLastErrorIsInTheFileAlone) {
  const test::TempDir folder;
  const fs::path path = folder / "berth.log";
  for (const int rank : {0, 3}) {
    Pipe pipe;
    start_logging(std::make_shared<Console>(pipe.write_end()), "warning", rank);
    log_last_error("there is no file yet");
    log_to_file(path, "warning", std::make_shared<Console>(pipe.write_end()));
    EXPECT_EQ(fs::exists(path), true) << "rank 0 has opened it";
    log_last_error(concat("the loss of rank ", rank, " is not finite"));
    EXPECT_EQ(pipe.close_and_read(), "");
  }
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  EXPECT_TRUE(std::regex_match(
      text.str(),
      std::regex(".* rank 0 error: the loss of rank 0 is not finite\n.* rank 3 error: the loss of rank 3 is not finite\n")))
      << text.str();
}

TEST(ConsoleLine, HasColorOnlyWhereTheTerminalHas) {
  using boost::log::trivial::severity_level;
  EXPECT_EQ(console_line(severity_level::error, "T", 0, "bad", {.terminal = true, .color = true}), "T \x1b[31merror: bad\x1b[0m");
  EXPECT_EQ(console_line(severity_level::info, "T", 0, "said", {.terminal = true, .color = true}), "T said");
  EXPECT_EQ(console_line(severity_level::error, "T", 0, "bad", {.terminal = true}), "T error: bad");
}

TEST(Console, LogLinesAppearAboveTheStatusLine) {
  Pipe pipe;
  Console console(pipe.write_end(), {.terminal = true});
  console.line("a");
  console.status("50%");
  console.status("50%");
  console.line("b");
  console.status("");
  console.line("c");
  EXPECT_EQ(pipe.close_and_read(), "a\n\r\x1b[K50%\r\x1b[Kb\n50%\r\x1b[Kc\n");
}

TEST(Console, NoStatusLineWithoutATerminal) {
  Pipe pipe;
  Console console(pipe.write_end());
  console.status("50%");
  console.line("a");
  EXPECT_EQ(pipe.close_and_read(), "a\n");
}

TEST(TerminalStyle, FollowsTheEnvironment) {
  using Environment = std::map<std::string, std::string>;
  const auto detect = [](bool is_terminal, Environment environment) {
    return TerminalStyle::detect(is_terminal, [&](const char* name) { return environment[name]; });
  };
  const Environment usual = {{"TERM", "xterm-256color"}, {"LANG", "en_US.UTF-8"}};
  EXPECT_TRUE(detect(true, usual).terminal && detect(true, usual).color && detect(true, usual).utf8);
  EXPECT_FALSE(detect(false, usual).terminal || detect(false, usual).color);
  EXPECT_FALSE(detect(true, {{"TERM", "dumb"}}).terminal);
  EXPECT_FALSE(detect(true, {}).terminal);
  const TerminalStyle plain = detect(true, {{"TERM", "xterm"}, {"NO_COLOR", "1"}, {"LC_ALL", "C"}, {"LANG", "de_DE.utf8"}});
  EXPECT_TRUE(plain.terminal);
  EXPECT_FALSE(plain.color || plain.utf8);
}

}  // namespace
}  // namespace berth::launch
