// The real program under the real mpiexec.
#pragma once

#include <map>
#include <string>

#include "tests/support/temp_dir.h"
#include "tests/support/tiny_files.h"

namespace berth::test {

struct JobResult {
  int exit_code = 0;
  std::string out;  // standard output
  std::string err;
};

// What tests run as `berth`: the one of this build, or the command line that BERTH_PROGRAM in the environment is (tests/standin).
std::string berth_program();

// Runs a shell command line; its environment is this process's plus `environment`.
JobResult run_shell(const std::string& command, const std::map<std::string, std::string>& environment = {});

// Runs `berth arguments` on `ranks` ranks of one thread each (1: without mpiexec).
JobResult run_berth(const std::string& arguments, int ranks = 1, const std::map<std::string, std::string>& environment = {});

}  // namespace berth::test
