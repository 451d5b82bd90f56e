#include "launcher/cmd_train.h"

#include "data/check.h"
#include "launcher/logging.h"
#include "launcher/signals.h"
#include "launcher/train_progress.h"
#include "launcher/version.h"
#include "trainer/report/html.h"
#include "trainer/run/run_folder.h"
#include "trainer/run/train_loop.h"

namespace berth::launch {
namespace {

// The run stands without its page; one that was stopped before its first log has none.
void write_page(const std::filesystem::path& run) {
  try {
    if (const auto page = train::write_report(run)) BOOST_LOG_TRIVIAL(info) << "the run on one page: " << page->string();
  } catch (const std::exception& error) {
    BOOST_LOG_TRIVIAL(warning) << "report.html was not written: " << error.what();
  }
}

}  // namespace

train::TrainOutcome train_on(Rank& rank, const TrainCommand& command, const TrainTexts& texts, const std::function<bool()>& stop,
                             std::vector<std::unique_ptr<train::Sink>> sinks, const std::function<void()>& begins) {
  train::set_precision(command.options.model_options.precision, rank.comm);
  const train::RunFolder folder(command.options, rank.comm);
  begins();
  if (rank.comm.rank() == 0) {
    BOOST_LOG_TRIVIAL(info) << "berth " << texts.command_line;
    BOOST_LOG_TRIVIAL(info) << rank.comm.description();
  }
  const train::TrainOutcome outcome = train::train(command.options, folder, rank.comm,
                                                   {.stop = stop,
                                                    .sinks = std::move(sinks),
                                                    .version = version(),
                                                    .options = texts.all_options,
                                                    .command = texts.shell_command});
  if (rank.comm.rank() == 0) write_page(command.options.output_dir);
  return outcome;
}

int run_train(const TrainCommand& command, const TrainTexts& texts, const std::string& log_level) {
  command.options.validate();
  return on_all_ranks(command.device, log_level, [&](Rank& rank) {
    std::vector<std::unique_ptr<train::Sink>> sinks;
    if (rank.comm.rank() == 0) sinks.push_back(std::make_unique<TrainProgress>(rank.console, !command.disable_tqdm));
    const train::TrainOutcome outcome = train_on(
        rank, command, texts, [] { return stop_signal() != 0; }, std::move(sinks),
        [&] {
          if (rank.comm.rank() == 0) log_to_file(command.options.output_dir / "berth.log", log_level, rank.console);
        });
    if (outcome == train::TrainOutcome::kDone) return static_cast<int>(ExitCode::kOk);
    if (rank.comm.rank() == 0)
      BOOST_LOG_TRIVIAL(info) << "stopped early on signal " << stop_signal() << ": start the same command again to go on";
    return static_cast<int>(ExitCode::kStoppedEarly);
  });
}

}  // namespace berth::launch
