#include "launcher/cmd_prepare.h"

#include <iostream>

#include "launcher/logging.h"
#include "launcher/progress.h"
#include "launcher/signals.h"

namespace berth::launch {

int run_prepare(data::PrepareOptions options, const std::string& command_line, const std::string& log_level) {
  options.validate();
  options.command = "berth " + command_line;
  install_signal_handlers();
  const auto console = std::make_shared<Console>();
  start_logging(console, log_level, 0);
  std::optional<Progress> progress;
  const auto show = [&](const data::PrepareProgress& p) {
    if (!progress || progress->state().label != p.stage) {
      progress.emplace(
          console, ProgressState{.label = p.stage, .total = static_cast<int64_t>(p.bytes_total), .unit = ProgressUnit::kBytes},
          Progress::Options{});
    }
    progress->update(static_cast<int64_t>(p.bytes_done), {format_count(static_cast<double>(p.rows)) + " rows"});
  };
  const data::PrepareReport report = data::prepare(options, show, [] { return stop_signal() != 0; });
  progress.reset();
  std::cout << data::describe(report) << std::flush;
  stop_logging();
  return 0;
}

}  // namespace berth::launch
