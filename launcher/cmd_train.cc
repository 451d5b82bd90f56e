#include "launcher/cmd_train.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "data/check.h"
#include "data/files/files.h"
#include "data/json/json.h"
#include "data/words.h"
#include "launcher/cmd_report.h"
#include "launcher/logging.h"
#include "launcher/progress.h"
#include "launcher/signals.h"
#include "launcher/stop_file.h"
#include "launcher/train_progress.h"
#include "launcher/version.h"
#include "trainer/comm/agree.h"
#include "trainer/report/goodput.h"
#include "trainer/run/run_folder.h"
#include "trainer/run/train_loop.h"

namespace berth::launch {
namespace {

// "goodput 94.2 % of 1:02:03 in 2 jobs: …"; nothing if provenance.json does not say.
void tell_goodput(const std::filesystem::path& run) {
  std::optional<train::Goodput> goodput;
  try {
    const auto json = data::find_json<nlohmann::ordered_json>(data::read_file(run / "provenance.json"));
    if (json) goodput = train::goodput_of(*json);
  } catch (const Error& error) {
    BOOST_LOG_TRIVIAL(warning) << "goodput is not known: " << error.what();
  }
  if (!goodput) return;
  char percent[32];
  std::snprintf(percent, sizeof percent, "%.1f", 100 * goodput->ratio());
  std::string text =
      concat("goodput ", percent, " % of ", format_duration(goodput->total()), " in ", counted(goodput->jobs, "job"), ": ");
  text += joined(goodput->seconds, ", ", [](const auto& part) { return part.first + " " + format_duration(part.second); });
  if (goodput->lost_steps > 0) text += concat(" (", counted(goodput->lost_steps, "step"), " of killed jobs)");
  BOOST_LOG_TRIVIAL(info) << text;
}

using Steady = std::chrono::steady_clock;
const Steady::time_point process_start = Steady::now();

}  // namespace

std::optional<Steady::time_point> end_of_job(std::optional<double> max_time) {
  std::optional<Steady::time_point> end;
  const auto at = [&](Steady::time_point from, double seconds) {
    const auto time = from + std::chrono::duration_cast<Steady::duration>(std::chrono::duration<double>(seconds));
    end = end ? std::min(*end, time) : time;
  };
  if (max_time) at(process_start, *max_time);
  for (const char* name : {"BERTH_END_TIME", "SLURM_JOB_END_TIME"}) {
    const char* known = std::getenv(name);
    if (const double epoch = known == nullptr ? 0 : std::atof(known); epoch > 0)
      at(Steady::now(), epoch - std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count());
  }
  return end;
}

void check_not_stopped(const std::filesystem::path& folder) {
  check_usage(!std::filesystem::exists(folder / kStopFile), (folder / kStopFile).string(),
              ": this file asks to stop; remove it to go on");
}

train::TrainOutcome train_on(Rank& rank, const TrainCommand& command, const TrainTexts& texts, Steady::time_point begin,
                             const std::function<bool()>& stop, std::vector<std::unique_ptr<train::Sink>> sinks,
                             const std::function<void()>& begins) {
  train::set_precision(command.options.model_options.precision, rank.comm);
  const train::RunFolder folder(command.options, rank.comm);
  begins();
  if (rank.comm.rank() == 0) {
    BOOST_LOG_TRIVIAL(info) << "berth " << texts.command_line;
    log_remarks(texts.remarks);
    BOOST_LOG_TRIVIAL(info) << rank.comm.description();
  }
  const train::TrainOutcome outcome = train::train(command.options, folder, rank.comm,
                                                   {.stop = stop,
                                                    .begin = begin,
                                                    .end = end_of_job(command.options.max_time),
                                                    .sinks = std::move(sinks),
                                                    .version = version(),
                                                    .options = texts.all_options,
                                                    .changed_options = texts.changed_options,
                                                    .command = texts.shell_command});
  if (rank.comm.rank() == 0) {
    tell_goodput(command.options.output_dir);
    try_to_write_page(command.options.output_dir);
  }
  return outcome;
}

int run_train(const TrainCommand& command, const TrainTexts& texts, const std::string& log_level) {
  command.options.validate();
  return on_all_ranks(command.device, log_level, [&](Rank& rank) {
    std::vector<std::unique_ptr<train::Sink>> sinks;
    const bool first = rank.comm.rank() == 0;
    if (first) sinks.push_back(std::make_unique<TrainProgress>(rank.console, !command.disable_tqdm));
    StopFile asked(command.options.output_dir / kStopFile);
    const train::TrainOutcome outcome = train_on(
        rank, command, texts, process_start, [&] { return stop_signal() != 0 || (first && asked.is_there()); }, std::move(sinks),
        [&] {
          log_to_file(command.options.output_dir / "berth.log", log_level, rank.console);
          comm::agree_on_root(rank.comm, [&] { check_not_stopped(command.options.output_dir); });
        });
    if (outcome == train::TrainOutcome::kDone) return static_cast<int>(ExitCode::kOk);
    if (first)
      BOOST_LOG_TRIVIAL(info) << "stopped early"
                              << (stop_signal() != 0 ? concat(" on signal ", stop_signal())
                                  : asked.is_there() ? " as the file STOP asks"
                                                     : "")
                              << ": start the same command again to go on";
    return static_cast<int>(ExitCode::kStoppedEarly);
  });
}

}  // namespace berth::launch
