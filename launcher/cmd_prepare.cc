#include "launcher/cmd_prepare.h"

#include <iostream>

#include "data/check.h"
#include "data/utf8.h"
#include "launcher/logging.h"
#include "launcher/progress.h"
#include "launcher/signals.h"
#include "trainer/checkpoint/model_path.h"
#include "trainer/kernels/compute.h"
#include "trainer/use/substitute.h"

namespace berth::launch {
namespace {

void load_augment_model(PrepareCommand& command) {
  data::AugmentOptions& augment = command.options.augment;
  const bool needed =
      std::find(augment.kinds.begin(), augment.kinds.end(), data::AugmentKind::kSubstitute) != augment.kinds.end();
  check_usage(needed || command.augment_model.empty(), "--augment-model is for --augment substitute, which is not asked for");
  if (!needed || command.augment_model.empty()) return;
  train::set_compute_threads(1);  // of each of prepare's threads: the output must not depend on their number
  augment.substitute = train::load_substitution(command.augment_model);
}

data::PrepareReport prepare(const data::PrepareOptions& options, const std::shared_ptr<Console>& console) {
  std::optional<Progress> progress;
  const auto show = [&](const data::PrepareProgress& p) {
    if (!progress || progress->state().label != p.stage) {
      progress.emplace(
          console, ProgressState{.label = p.stage, .total = static_cast<int64_t>(p.bytes_total), .unit = ProgressUnit::kBytes},
          Progress::Options{});
    }
    progress->update(static_cast<int64_t>(p.bytes_done), {format_count(static_cast<double>(p.rows)) + " rows"});
  };
  return data::prepare(options, show, [] { return stop_signal() != 0; });
}

}  // namespace

int run_prepare(PrepareCommand command, const std::string& command_line, const std::string& log_level) {
  load_augment_model(command);
  if (std::error_code error; !std::filesystem::exists(command.options.tokenizer, error))
    command.options.tokenizer = train::resolve_model(command.options.tokenizer.string());
  command.options.validate();
  command.options.command = "berth " + command_line;
  const auto console = std::make_shared<Console>();
  start_logging(console, log_level, 0);
  int code = 0;
  try {
    std::cout << data::printable_lines(data::describe(prepare(command.options, console))) << std::flush;
  } catch (const Error& error) {
    if (stop_signal() == 0) throw;
    std::cerr << error_line(error.what());
    code = 128 + stop_signal();
  }
  stop_logging();
  return code;
}

}  // namespace berth::launch
