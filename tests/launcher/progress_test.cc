#include "launcher/progress.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <regex>

#include "launcher/logging.h"
#include "launcher/train_progress.h"
#include "tests/support/pipe.h"

namespace berth::launch {
namespace {

using testing_support::Pipe;

const ProgressState kHalf = {.label = "train",
                             .done = 500,
                             .total = 1000,
                             .start = 400,
                             .seconds = 10,
                             .details = {"loss 0.51", "12.3k tokens/s", "lr 5e-05"}};

int columns(const std::string& text) {
  return static_cast<int>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

TEST(RenderBar, ShowsAllWhereThereIsRoom) {
  EXPECT_EQ(render_bar(kHalf, 120, {}),
            "train  50% [###############...............] 500/1000  loss 0.51  12.3k tokens/s  lr 5e-05  ETA 0:50");
  EXPECT_EQ(render_bar(kHalf, 120, {.terminal = true, .color = true, .utf8 = true}),
            "train  50% \x1b[36m▕███████████████               ▏\x1b[0m 500/1000  loss 0.51  12.3k tokens/s  lr 5e-05  ETA 0:50");
}

TEST(RenderBar, DropsTheLeastImportantFirstAndNeverExceedsTheWidth) {
  EXPECT_EQ(render_bar(kHalf, 60, {}), "train  50% [########.........] 500/1000  loss 0.51  ETA 0:50");
  EXPECT_EQ(render_bar(kHalf, 40, {}), "train  50% [####....] 500/1000  ETA 0:50");
  EXPECT_EQ(render_bar(kHalf, 39, {}), "train  50% 500/1000  ETA 0:50");
  EXPECT_EQ(render_bar(kHalf, 28, {}), "train  50% 500/1000");
  for (int width = 0; width < 130; ++width) {
    for (const bool utf8 : {false, true}) EXPECT_LE(columns(render_bar(kHalf, width, {.utf8 = utf8})), width);
  }
}

TEST(RenderBar, EdgesOfTheRange) {
  ProgressState state = {.label = "prepare", .total = 3'000'000, .unit = ProgressUnit::kBytes};
  EXPECT_EQ(render_bar(state, 50, {}), "prepare   0% [........................] 0.0/3.0 MB");
  state.done = 3'000'000;
  state.seconds = 2;
  EXPECT_EQ(render_bar(state, 60, {}), "prepare 100% [##############################] 3.0/3.0 MB");
  state.done = 4'000'000;  // the file grew
  EXPECT_NE(render_bar(state, 60, {}).find("100% ["), std::string::npos);
  state.total = 0;
  EXPECT_EQ(render_bar(state, 60, {}), "prepare 4.0 MB");
}

TEST(RenderBar, DrawsEighths) {
  const auto cells = [](int64_t done) {
    return render_bar({.label = "x", .done = done, .total = 240, .start = done}, 100, {.utf8 = true});
  };
  EXPECT_NE(cells(1).find("▕▏  "), std::string::npos);
  EXPECT_NE(cells(12).find("▕█▌ "), std::string::npos);
  EXPECT_NE(cells(239).find("█▉▏"), std::string::npos);
}

TEST(RenderPlain, IsOneSentence) {
  EXPECT_EQ(render_plain(kHalf), "train 500/1000 (50%), loss 0.51, 12.3k tokens/s, lr 5e-05, ETA 0:50");
  EXPECT_EQ(render_plain({.label = "evaluate", .done = 3}), "evaluate 3");
}

TEST(Format, Durations) {
  const std::vector<std::pair<double, std::string>> table = {{0, "0:00"},         {-1, "0:00"},     {7.4, "0:07"},
                                                             {59.6, "1:00"},      {754, "12:34"},   {3723, "1:02:03"},
                                                             {86399, "23:59:59"}, {183600, "2d 3h"}};
  for (const auto& [seconds, text] : table) EXPECT_EQ(format_duration(seconds), text);
}

TEST(Format, Counts) {
  const std::vector<std::pair<double, std::string>> table = {{0, "0"},         {999.4, "999"},     {999.5, "1.0k"},
                                                             {12345, "12.3k"}, {999949, "999.9k"}, {999951, "1.00M"}};
  for (const auto& [count, text] : table) EXPECT_EQ(format_count(count), text);
}

class ProgressTest : public testing::Test {
 protected:
  ~ProgressTest() override { stop_logging(); }
  Clock clock() {
    return [this] { return now_; };
  }
  std::string read_console() { return std::regex_replace(pipe_.close_and_read(), std::regex("\\d\\d:\\d\\d:\\d\\d"), "T"); }

  double now_ = 100;
  Pipe pipe_;
};

TEST_F(ProgressTest, RedrawsAtMostTenTimesASecond) {
  auto console = std::make_shared<Console>(pipe_.write_end(), TerminalStyle{.terminal = true});
  Progress progress(console, {.label = "x", .total = 1000}, {}, clock());
  for (int i = 1; i <= 1000; ++i) {
    now_ += 1.0 / 1024;
    progress.update(i);
  }
  progress.clear();
  const std::string shown = read_console();
  EXPECT_EQ(std::count(shown.begin(), shown.end(), '\r'), 1 + 9 + 1) << "the first, nine more, and the erasing one";
}

TEST_F(ProgressTest, LogsPlainLinesWithoutATerminal) {
  auto console = std::make_shared<Console>(pipe_.write_end(), TerminalStyle{});
  start_logging(console, "info", 0);
  Progress progress(console, {.label = "x", .done = 10, .total = 100}, {.plain_seconds = 30}, clock());
  for (const int64_t done : {20, 30, 40, 50}) {
    now_ += 20;
    progress.update(done);
  }
  progress.clear();
  EXPECT_EQ(read_console(), "T x 30/100 (30%), ETA 2:20\nT x 50/100 (50%), ETA 1:40\n");
}

TEST_F(ProgressTest, TrainingLogsAtReportsOnly) {
  auto console = std::make_shared<Console>(pipe_.write_end(), TerminalStyle{});
  start_logging(console, "info", 0);
  TrainProgress progress(console, true, clock());
  progress.started(0, 20);
  progress.step({.step = 1, .epoch = 0.1, .loss = 0.5, .tokens = 100, .seconds = 100});
  progress.log({.step = 10,
                .epoch = 1,
                .loss = 0.6931,
                .learning_rate = 5e-5,
                .grad_norm = 1.25,
                .tokens = 24690,
                .seconds = 2,
                .memory = {.cpu = 3 << 29}});
  progress.evaluating(1, 2);
  progress.eval({.step = 10,
                 .epoch = 1,
                 .metrics = {{"loss", 0.5, train::MetricKind::kLoss}, {"accuracy", 0.875, train::MetricKind::kScore}}});
  progress.finish({.step = 20,
                   .epoch = 2,
                   .loss = 0.5,
                   .seconds = 65,
                   .tokens = 65000,
                   .flops = 1e15,
                   .most_flops = 2e15,
                   .memory = {.cpu = 1 << 30, .gpu = 1 << 30},
                   .device = "NVIDIA H200",
                   .skipped = 1});
  EXPECT_EQ(read_console(),
            "T step 10/20, epoch 1.00, loss 0.6931, lr 5e-05, grad norm 1.25, 12.3k tokens/s, memory 1.50 GiB\n"
            "T step 10, epoch 1.00, eval_loss 0.5, eval_accuracy 0.875\n"
            "T trained 20 steps, epoch 2.00, in 1:05: train_loss 0.5, 1.0k tokens/s, MFU 50.0 %, GPU memory 1.00 GiB, on NVIDIA "
            "H200, 1 step "
            "skipped: not finite\n");
}

TEST_F(ProgressTest, TrainingSaysHowFarItIsOnceAMinuteUnlessItHasLogged) {
  auto console = std::make_shared<Console>(pipe_.write_end(), TerminalStyle{});
  start_logging(console, "info", 0);
  TrainProgress progress(console, true, clock());
  progress.started(100, 1000);
  for (int64_t step = 101; step <= 120; ++step) {
    now_ += 10;
    progress.step({.step = step, .epoch = 1, .loss = 0.5, .learning_rate = 5e-5, .tokens = 1000, .seconds = 10});
    if (step == 110) progress.log({.step = step, .epoch = 1, .loss = 0.25});
    if (step == 117) progress.eval({.step = step, .epoch = 1, .metrics = {}});
  }
  progress.stopped();
  EXPECT_EQ(read_console(),
            "T train 106/1000 (10%), loss 0.5, 100 tokens/s, epoch 1.00, lr 5e-05, ETA 2:29:00\n"
            "T step 110/1000, epoch 1.00, loss 0.25, lr 0, grad norm 0, ETA 2:28:20\n"
            "T train 116/1000 (11%), loss 0.5, 100 tokens/s, epoch 1.00, lr 5e-05, ETA 2:27:20\n"
            "T step 117, epoch 1.00\n"
            "T train 120/1000 (12%), loss 0.5, 100 tokens/s, epoch 1.00, lr 5e-05, ETA 2:26:40\n");
}

TEST_F(ProgressTest, TrainingDrawsAndCleansUpOnATerminal) {
  auto console = std::make_shared<Console>(pipe_.write_end(), TerminalStyle{.terminal = true});
  start_logging(console, "info", 0);
  {
    TrainProgress progress(console, true, clock());
    progress.started(0, 20);
    now_ += 1;
    progress.step({.step = 1, .epoch = 0.1, .loss = 0.5, .learning_rate = 5e-5, .tokens = 100, .seconds = 1});
    progress.step({.step = 2, .epoch = 0.2, .loss = 0.25, .learning_rate = 5e-5, .tokens = 100, .seconds = 1});
    progress.log({.step = 2, .loss = 0.25});
  }
  const std::string shown = read_console();
  EXPECT_NE(shown.find("1/20  loss 0.5  100 tokens/s"), std::string::npos) << shown;
  EXPECT_NE(shown.find("2/20  loss 0.25"), std::string::npos) << "below a log line it is not an older step";
  EXPECT_TRUE(shown.ends_with("\r\x1b[K")) << "the line is gone in the end";
}

}  // namespace
}  // namespace berth::launch
