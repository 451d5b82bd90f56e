#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "data/check.h"
#include "launcher/cmd_prepare.h"
#include "launcher/console.h"
#include "launcher/options.h"
#include "launcher/signals.h"
#include "trainer/gpu/gpu_library.h"

namespace berth::launch {
namespace {

// Run before the constructors of the libraries: libtorch's take a good part of a second, in which a signal would end the process.
__attribute__((section(".preinit_array"), used)) void (*listen_first)() = install_signal_handlers;

// Before MPI is up, only its launchers' environments tell the rank. Errors are printed once.
bool is_first_rank() {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"})
    if (const char* rank = std::getenv(name)) return std::string(rank) == "0";
  return true;
}

int dispatch(const CommandLine& line) {
  struct Run {
    const CommandLine& line;
    int operator()(const PrepareCommand& command) const { return run_prepare(command, line.text, line.log_level); }
    int operator()(const TrainCommand& command) const {
      return run_train(command, {line.text, line.for_shell, line.options, line.changed_options, line.remarks}, line.log_level);
    }
    int operator()(const SweepCommand& command) const { return run_sweep(command, line); }
    int operator()(const ScaleCommand& command) const { return run_scale(command, line); }
    int operator()(const CheckCommand& command) const { return run_check(command, line); }
    int operator()(const EvaluateCommand& command) const { return run_evaluate(command, line.log_level); }
    int operator()(const PredictCommand& command) const { return run_predict(command, line.log_level); }
    int operator()(const CompletionCommand& command) const { return run_completion(command, std::cout); }
    int operator()(const GenerateCommand& command) const { return run_generate(command); }
    int operator()(const InspectOptions& options) const {
      restore_signals();
      return run_inspect(options, std::cout);
    }
    int operator()(const ReportCommand& command) const {
      restore_signals();
      return run_report(command, std::cout);
    }
  };
  return std::visit(Run{line}, line.command);
}

int run(const std::vector<std::string>& arguments) {
  try {
    const int code = dispatch(parse_command_line(arguments));
    std::cout.flush();
    check_internal(code != 0 || std::cout.good(), "standard output cannot be written: what was printed there is not complete");
    return code;
  } catch (const HelpRequested& help) {
    if (is_first_rank()) std::cout << help.what;
    return static_cast<int>(ExitCode::kOk);
  } catch (const std::exception& exception) {
    const Error error = as_error(exception);
    if (is_first_rank()) std::cerr << error_line(error.what());
    return static_cast<int>(error.code());
  }
}

// The end of a process whose work is done. libtorch's destructors take 50 ms to undo what ends with the process anyway; profilers of GPUs, and a
// sanitizer, write in theirs.
int leave(int code) {
#ifndef __SANITIZE_THREAD__
  if (dlopen(gpu::kLibraryFile, RTLD_LAZY | RTLD_NOLOAD) == nullptr) {
    std::cout.flush();
    std::fflush(nullptr);
    std::_Exit(code);
  }
#endif
  return code;
}

}  // namespace
}  // namespace berth::launch

int main(int argc, char** argv) { return berth::launch::leave(berth::launch::run({argv + 1, argv + argc})); }
