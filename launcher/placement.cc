#include "launcher/placement.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>

#include "data/check.h"
#include "data/words.h"
#include "launcher/device.h"

namespace berth::launch {
namespace {

// Of a rank on a GPU: the main thread, autograd's, the prefetcher's, NCCL's.
constexpr int kThreadsOfRank = 4;

// "0-3,8,10-11".
std::vector<int> parse_cpu_list(const std::string& text) {
  std::vector<int> cores;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, ',');) {
    int first = 0, last = 0;
    const int numbers = std::sscanf(part.c_str(), "%d-%d", &first, &last);
    if (numbers < 1 || first < 0) continue;
    if (numbers == 1) last = first;
    for (int core = first; core <= last && core < CPU_SETSIZE; ++core) cores.push_back(core);
  }
  return cores;
}

std::vector<int> common(const RankCores& rank) {
  std::vector<int> cores;
  std::set_intersection(rank.own.begin(), rank.own.end(), rank.near.begin(), rank.near.end(), std::back_inserter(cores));
  return cores;
}

}  // namespace

std::vector<int> cores_near(const std::string& pci_address, const std::filesystem::path& sysfs) {
  std::ifstream in(sysfs / "bus/pci/devices" / pci_address / "local_cpulist");
  std::string text;
  std::getline(in, text);
  return parse_cpu_list(text);
}

std::vector<int> whole_cores(const std::vector<int>& cores, const std::filesystem::path& sysfs) {
  std::set<int> whole;
  for (const int core : cores) {
    std::ifstream in(sysfs / "devices/system/cpu" / concat("cpu", core) / "topology/thread_siblings_list");
    std::string text;
    std::getline(in, text);
    const std::vector<int> siblings = parse_cpu_list(text);
    whole.insert(siblings.empty() ? core : *std::min_element(siblings.begin(), siblings.end()));
  }
  return {whole.begin(), whole.end()};
}

int cores_of_host() {
  if (const char* of_slurm = std::getenv("SLURM_CPUS_ON_NODE"); of_slurm && std::atoi(of_slurm) > 0) return std::atoi(of_slurm);
  std::ifstream in("/sys/fs/cgroup/cpuset.cpus.effective");
  std::string text;
  std::getline(in, text);
  const auto online = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)), own = static_cast<int>(parse_cpu_list(text).size());
  return own > 0 ? std::min(own, online) : online;
}

std::vector<int> cores_to_keep(const std::vector<RankCores>& host, size_t rank) {
  const std::vector<int>& own = host[rank].own;
  if (std::any_of(host.begin(), host.end(), [&](const RankCores& other) { return other.own != own; })) return {};
  std::vector<std::vector<int>> all;
  std::transform(host.begin(), host.end(), std::back_inserter(all), common);
  const std::vector<int>& near = all[rank];
  if (near.empty() || near == own || fair_threads(near, all) < kThreadsOfRank) return {};
  return near;
}

bool bind_to(const std::vector<int>& cores) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int core : cores) CPU_SET(core, &set);
  return sched_setaffinity(0, sizeof set, &set) == 0;
}

std::string place_beside_gpu(comm::Communicator& comm, const std::string& pci_address) {
  // A line a rank: host, its own cores, a bar, those near its GPU.
  std::ostringstream line;
  const std::string here = host_id();
  line << here;
  for (const int core : allowed_cores()) line << ' ' << core;
  line << " |";
  for (const int core : cores_near(pci_address)) line << ' ' << core;
  std::vector<RankCores> host;
  size_t self = 0;
  int few = 0;
  const long wanted = std::min<long>(kThreadsOfRank, sysconf(_SC_NPROCESSORS_ONLN));  // a host with fewer has none to give
  const std::vector<std::string> lines = comm.all_gather(line.str());
  for (int r = 0; r < comm.size(); ++r) {
    std::istringstream in(lines[static_cast<size_t>(r)]);
    std::string name;
    in >> name;
    RankCores cores;
    std::vector<int>* into = &cores.own;
    for (std::string word; in >> word;) {
      if (word == "|")
        into = &cores.near;
      else
        into->push_back(std::stoi(word));
    }
    if (!cores.own.empty() && static_cast<long>(cores.own.size()) < wanted) ++few;
    if (name != here) continue;
    if (r == comm.rank()) self = host.size();
    host.push_back(std::move(cores));
  }
  if (const std::vector<int> cores = cores_to_keep(host, self); !cores.empty()) bind_to(cores);
  if (few == 0 || comm.rank() != 0) return "";
  return concat(few, " of ", counted(comm.size(), "rank"), " may run on fewer than ", kThreadsOfRank, " cores, which ",
                kThreadsOfRank,
                " threads of a rank and its GPU's driver share: give each more of them (mpirun --bind-to none, or --map-by "
                "slot:PE=",
                kThreadsOfRank, "; srun --cpus-per-task=", kThreadsOfRank, ")");
}

}  // namespace berth::launch
