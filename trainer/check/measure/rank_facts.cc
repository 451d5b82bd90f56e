#include "trainer/check/measure/rank_facts.h"

#include <chrono>

#include "data/hdf5/version.h"
#include "trainer/comm/mpi/mpi_library.h"
#include "trainer/kernels/compute.h"

namespace berth::preflight {

std::vector<RankFacts> gather_facts(RankFacts own, comm::Communicator& comm) {
  own.libtorch = train::describe_libtorch();
  own.mpi = comm::mpi_library().running;
  own.hdf5 = data::h5::library_version();
  own.device = comm.device_name();
  own.threads = train::compute_threads();
  own.quota = cpu_quota();
  own.memory = available_memory();
  own.link = fastest_link();
  comm.barrier();
  own.clock = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  std::vector<RankFacts> all;
  for (const std::string& text : comm.all_gather(to_text(own))) all.push_back(parse_facts(text));
  return all;
}

Findings check_ranks(const std::vector<RankFacts>& ranks, int launched, const std::string& gpu_problem) {
  Findings findings = judge_versions(ranks, comm::mpi_library().built_for, launched);
  for (Finding& finding : judge_places(ranks, gpu_problem)) findings.push_back(std::move(finding));
  return findings;
}

}  // namespace berth::preflight
