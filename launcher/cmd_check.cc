#include "launcher/cmd_check.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <span>

#include "data/check.h"
#include "data/json/json.h"
#include "data/utf8.h"
#include "launcher/device.h"
#include "launcher/help.h"
#include "launcher/logging.h"
#include "launcher/mpi_session.h"
#include "launcher/options.h"
#include "launcher/placement.h"
#include "launcher/signals.h"
#include "launcher/version.h"
#include "trainer/check/measure/data_check.h"
#include "trainer/check/measure/rank_facts.h"
#include "trainer/check/measure/run_check.h"

namespace berth::launch {
namespace {

using preflight::Finding;
using preflight::Findings;
using preflight::Level;

const char* color_of(Level level) {
  constexpr const char* kColors[] = {"\x1b[32m", "\x1b[36m", "\x1b[33m", "\x1b[31m"};
  return kColors[static_cast<size_t>(level)];
}

std::string padded(const std::string& text, size_t width) {
  return text + std::string(width - std::min(width, text.size()), ' ');
}

void add(Findings& findings, Findings more) {
  findings.insert(findings.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

void print(const Findings& findings, bool json, const Console& console) {
  if (json)
    std::cout << data::dump_json(preflight::json_of(findings), 2) << "\n" << std::flush;
  else
    std::cout << check_table(findings, console.style(), console.width()) << std::flush;
}

}  // namespace

std::string check_table(const Findings& findings, const TerminalStyle& style, int width) {
  constexpr size_t kLevel = 9;
  size_t name = 0;
  for (const Finding& finding : findings) name = std::max(name, finding.name.size() + 2);
  const std::string indent(kLevel + name, ' ');
  std::string table;
  for (const Finding& finding : findings) {
    const std::string level = padded(preflight::level_name(finding.level), kLevel),
                      text = data::printable(finding.found + (finding.remedy.empty() ? "" : "; remedy: " + finding.remedy));
    table += (style.color ? concat(color_of(finding.level), level, "\x1b[0m") : level) + padded(finding.name, name);
    table += style.terminal ? wrapped(text, static_cast<int>(indent.size()), indent, width) : text + "\n";
  }
  return table + preflight::summary(findings) + "\n";
}

int run_check(const CheckCommand& command, const CommandLine& line) {
  const train::TrainOptions& options = command.train.options;
  preflight::RunCheckOptions of_run;
  if (const auto end = end_of_job(options.max_time))
    of_run.limit = std::chrono::duration<double>(*end - std::chrono::steady_clock::now()).count();
  of_run.check_folder = [&] { check_not_stopped(options.output_dir); };
  restore_signals();
  options.validate();
  DeviceOptions device = command.train.device;
  device.tolerant = true;
  return on_all_ranks(device, line.log_level == "info" ? "warning" : line.log_level, [&](Rank& rank) {
    if (rank.comm.rank() == 0) log_remarks(line.remarks);
    const std::vector<preflight::RankFacts> ranks = preflight::gather_facts({.host = host_name(),
                                                                             .berth = "berth " + version_number(),
                                                                             .cores = allowed_cores(),
                                                                             .host_cores = cores_of_host(),
                                                                             .visible_gpus = rank.visible_gpus,
                                                                             .gpu = rank.gpu},
                                                                            rank.comm);
    of_run.gpu_problem = rank.gpu_problem;
    Findings findings = preflight::check_ranks(ranks, launched(std::getenv), rank.gpu_problem);
    add(findings, preflight::check_data(options, ranks, rank.comm));
    const Console console(STDOUT_FILENO);
    try {
      preflight::check_run(options, ranks, of_run, rank.comm, findings);
    } catch (const std::exception&) {
      if (rank.comm.rank() == 0) print(findings, command.json, console);
      throw;
    }
    if (rank.comm.rank() == 0) print(findings, command.json, console);
    int64_t errors = static_cast<int64_t>(preflight::count(findings, Level::kError));
    rank.comm.all_reduce_max(std::span<int64_t>(&errors, 1));
    return static_cast<int>(errors > 0 ? ExitCode::kBadInput : ExitCode::kOk);
  });
}

}  // namespace berth::launch
