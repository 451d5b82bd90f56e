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

// "mpiexec -n RANKS ", of the MPI that this build is for, or as BERTH_MPIEXEC in the environment says (tests/mpi/other_mpi_test.sh).
std::string mpiexec(int ranks);

// Runs a shell command line; its environment is this process's, what MPIs want in a container with few cores, and `environment`.
JobResult run_shell(const std::string& command, const std::map<std::string, std::string>& environment = {});

// Runs `berth arguments` on `ranks` ranks of one thread each (1: without mpiexec).
JobResult run_berth(const std::string& arguments, int ranks = 1, const std::map<std::string, std::string>& environment = {});

// What some ranks of a job are to meet with: what the command lines begin with.
struct Disturbance {
  int first = 0, last = -1;  // the ranks
  std::string of_ranks, of_others, of_job;
};

// BERTH_FAILPOINT is `failpoint` on the ranks `first` to `last`.
Disturbance at_failpoint(const std::string& failpoint, int first, int last);

JobResult run_berth(const std::string& arguments, int ranks, const Disturbance& disturbance,
                    const std::map<std::string, std::string>& environment = {});

}  // namespace berth::test
