#include "launcher/device.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>

#include "data/check.h"
#include "data/words.h"
#include "launcher/placement.h"
#include "trainer/comm/agree.h"
#include "trainer/gpu/gpu_library.h"

namespace berth::launch {

std::string host_name() {
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  return host;
}

std::string host_id() {
  std::ifstream in("/proc/sys/kernel/random/boot_id");
  std::string boot;
  std::getline(in, boot);
  return concat(host_name(), "/", boot);
}

std::vector<int> allowed_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cores;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cores;  // more cores than cpu_set_t holds
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  }
  return cores;
}

int fair_threads(const std::vector<int>& own, const std::vector<std::vector<int>>& all) {
  std::map<int, int> users;
  for (const auto& of_rank : all) {
    for (const int core : of_rank) ++users[core];
  }
  double share = 0;
  for (const int core : own) share += 1.0 / users[core];
  return std::max(1, static_cast<int>(share + 1e-6));
}

int choose_threads(comm::Communicator& comm) {
  const std::string host = host_id();
  const std::vector<int> own = whole_cores(allowed_cores());
  std::ostringstream line;
  line << host;
  for (const int core : own) line << ' ' << core;
  std::vector<std::vector<int>> all;
  for (const std::string& text : comm.all_gather(line.str())) {
    std::istringstream in(text);
    std::string name;
    in >> name;
    if (name != host) continue;
    all.emplace_back(std::istream_iterator<int>(in), std::istream_iterator<int>());
  }
  const char* wish = std::getenv("OMP_NUM_THREADS");
  const int threads = wish ? std::atoi(wish) : 0;
  return threads > 0 ? threads : fair_threads(own, all);
}

Place place_among(comm::Communicator& comm, const std::string& sees) {
  const std::vector<std::string> all = comm.all_gather(concat(host_id(), " ", sees));
  const auto self = all.begin() + comm.rank();
  return {static_cast<int>(std::count(all.begin(), self, *self)), static_cast<int>(std::count(all.begin(), all.end(), *self))};
}

int choose_gpu(const std::string& request, Place place, const VisibleGpus& gpus) {
  if (request == "cpu") return -1;
  check_usage(request == "auto" || request == "cuda" || request.starts_with("cuda:"), "--device ", request,
              ": expected auto, cpu, cuda or cuda:N");
  if (request == "auto" && gpus.count == 0) {
    check_usage(gpus.sign.empty(), "this job was given GPUs (", gpus.sign, "), but berth cannot use them: ", gpus.why,
                ". --device cpu computes without them");
    return -1;
  }
  check_usage(gpus.count > 0, "--device ", request, ": no GPU can be used here: ", gpus.why,
              gpus.sign.empty() ? " (did the job ask for GPUs?)" : "");
  if (request.starts_with("cuda:")) {
    const std::string number = request.substr(5);
    const bool digits = !number.empty() && number.size() < 4 && number.find_first_not_of("0123456789") == std::string::npos;
    check_usage(digits && std::stoi(number) < gpus.count, "--device ", request,
                ": the GPUs visible here are cuda:0 to cuda:", gpus.count - 1);
    return std::stoi(number);
  }
  check_usage(place.size <= gpus.count, place.size, " ranks on this host, but ", counted(gpus.count, "GPU"),
              ": start at most one rank per GPU");
  return place.rank;
}

void check_gpus(comm::Communicator& comm, const std::string& gpu, bool slices) {
  const std::vector<std::string> lines =
      comm.all_gather(concat(host_id(), " ", gpu, !gpu.empty() && slices ? gpu::slice_of_gpu() : ""));
  const auto of_rank = [&](int rank) {
    const std::string& line = lines[static_cast<size_t>(rank)];
    return concat("rank ", rank, " on host ", line.substr(0, line.find('/')));
  };
  std::map<std::string, int> owners;
  std::string with, without, problem;
  for (int rank = 0; rank < comm.size(); ++rank) {
    const std::string& line = lines[static_cast<size_t>(rank)];
    const bool has_gpu = !line.ends_with(' ');
    (has_gpu ? with : without) = of_rank(rank);
    const auto [owner, is_first] = owners.emplace(line, rank);
    if (has_gpu && !is_first && problem.empty())
      problem = concat("rank ", owner->second, " and ", of_rank(rank), " both compute on GPU ", line.substr(line.find(' ') + 1),
                       ": start at most one rank per GPU");
  }
  if (!with.empty() && !without.empty())
    problem = concat(with, " computes on a GPU, and ", without,
                     " has none: give each rank one, leave that host out, or compute without (--device cpu)");
  comm::agree(comm, [&] { check_usage(problem.empty(), problem); });
}

}  // namespace berth::launch
