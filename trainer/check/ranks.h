// Whether the ranks of a job go together: the same versions, a GPU each, cores enough, clocks alike.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "trainer/check/finding.h"
#include "trainer/check/host.h"

namespace berth::preflight {

// What a rank knows of itself.
struct RankFacts {
  std::string host = {};
  std::string berth = {}, libtorch = {}, mpi = {}, hdf5 = {};  // versions; libtorch with the instruction set
  std::string device = {};                                     // "cpu", or the GPU's model with driver, CUDA and NCCL
  std::vector<int> cores = {};                                 // that the scheduler lets it run on
  int host_cores = 0;                                          // of the host, or of what the job has of it
  std::optional<double> quota = {};
  int threads = 1;
  int visible_gpus = 0;
  std::string gpu = {};                // "": it computes on the CPU
  double clock = 0;                    // seconds since 1970, of all ranks at about the same moment
  std::optional<int64_t> memory = {};  // available
  std::optional<Link> link = {};
};
std::string to_text(const RankFacts& facts);
RankFacts parse_facts(const std::string& text);  // of to_text

// `mpi_built_for`: the MPI whose headers berth was compiled with. `launched`: how many processes the launcher says that it started, 0 if it
// does not.
Findings judge_versions(const std::vector<RankFacts>& ranks, const std::string& mpi_built_for, int launched);

// Cores, threads and GPUs, host by host. `gpu_problem`: why GPUs cannot be used as asked; "": they can.
Findings judge_places(const std::vector<RankFacts>& ranks, const std::string& gpu_problem);

// The hosts' names, each once, in order of rank.
std::vector<std::string> hosts_of(const std::vector<RankFacts>& ranks);

}  // namespace berth::preflight
