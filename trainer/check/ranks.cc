#include "trainer/check/ranks.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <set>

#include "data/check.h"
#include "data/json/json.h"
#include "data/words.h"

namespace berth::preflight {
namespace {

using Json = nlohmann::ordered_json;
using Places = std::vector<const RankFacts*>;  // of one host

constexpr double kMostSkew = 5;  // seconds between clocks

template <class T>
Json optional_json(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

// "X on rank 0, Y on rank 2 of host b": where ranks differ in `of`.
std::string differences(const std::vector<RankFacts>& ranks, const std::function<std::string(const RankFacts&)>& of) {
  std::map<std::string, size_t> first;
  for (size_t r = 0; r < ranks.size(); ++r) first.emplace(of(ranks[r]), r);
  if (first.size() < 2) return "";
  std::map<size_t, std::string> places;
  for (const auto& [value, rank] : first) places.emplace(rank, value);
  return listed(places, 4, [&](const auto& place) {
    return concat(place.second, " on rank ", place.first, " (host ", ranks[place.first].host, ")");
  });
}

// "Open MPI 4" of "Open MPI v4.1.4": other major versions have another binary interface.
std::pair<std::string, std::string> family_of(const std::string& mpi) {
  const size_t digit = mpi.find_first_of("0123456789");
  const std::string family = mpi.starts_with("Open MPI") ? "Open MPI" : "MPICH's";
  return {family, family == "Open MPI" && digit != std::string::npos ? mpi.substr(digit, mpi.find('.', digit) - digit) : ""};
}

std::map<std::string, Places> by_host(const std::vector<RankFacts>& ranks) {
  std::map<std::string, Places> hosts;
  for (const RankFacts& rank : ranks) hosts[rank.host].push_back(&rank);
  return hosts;
}

void judge_gpus(const std::string& host, const Places& places, Findings& findings) {
  const int gpus = places.front()->visible_gpus, used = static_cast<int>(places.size());
  if (places.front()->gpu.empty() || gpus <= used || (used > 1 && gpus == 1)) return;
  findings.push_back({.level = Level::kWarning,
                      .name = "gpus",
                      .found = concat(counted(used, "rank"), " on ", host, " for ", counted(gpus, "GPU"), ": ", gpus - used,
                                      gpus - used == 1 ? " is idle" : " are idle"),
                      .remedy = concat("start a rank per GPU: mpirun -np ", gpus, ", or sbatch --ntasks-per-node=", gpus)});
}

// What is wrong with the cores of a host; nothing if all is well.
std::optional<Finding> judge_cores(const std::string& host, const Places& places) {
  std::set<int> cores;
  int threads = 0, host_cores = 0;
  double quota = 1e9;
  const RankFacts* crowded = nullptr;
  for (const RankFacts* rank : places) {
    cores.insert(rank->cores.begin(), rank->cores.end());
    threads += rank->threads;
    host_cores = std::max(host_cores, rank->host_cores);
    quota = std::min(quota, rank->quota.value_or(quota));
    if (rank->threads > std::ssize(rank->cores) && !rank->cores.empty()) crowded = rank;
  }
  const auto warn = [&](const std::string& found, const std::string& remedy) {
    return Finding{.level = Level::kWarning, .name = "cores", .found = found, .remedy = remedy};
  };
  if (cores.empty()) return unknown("cores", concat("the scheduler does not say which cores the ranks on ", host, " may use"));
  const auto number = static_cast<int>(places.size()), all = static_cast<int>(cores.size());
  const int fair = std::max(1, std::max(all, host_cores) / number);
  const std::string bind = concat("mpirun --bind-to none, or --map-by slot:PE=", fair, "; srun --cpus-per-task=", fair);
  if (threads > all && host_cores >= threads)
    return warn(concat(counted(number, "rank"), " with ", counted(threads, "thread"), " in all, bound to ", counted(all, "core"),
                       " of ", host, ", which has ", host_cores),
                bind);
  if (crowded && threads <= all)
    return warn(
        concat("a rank on ", host, " has ", counted(crowded->threads, "thread"), " on ", counted(crowded->cores.size(), "core")),
        bind);
  if (threads > all)
    return warn(
        concat(counted(threads, "thread"), " of ", counted(number, "rank"), " share ", counted(all, "core"), " of ", host),
        number > all ? concat("start at most ", counted(all, "rank"), " there")
                     : concat("OMP_NUM_THREADS=", std::max(1, all / number), ", or fewer ranks"));
  if (threads > quota + 0.5)
    return warn(concat(counted(threads, "thread"), " on ", host, " share the time of ", quota, " CPUs: a quota of the container"),
                concat("raise it, or OMP_NUM_THREADS=", std::max(1, static_cast<int>(quota) / number)));
  if (places.front()->gpu.empty() && 2 * all <= host_cores)
    return warn(concat("the ranks on ", host, " may use ", all, " of its ", counted(host_cores, "core")), bind);
  return std::nullopt;
}

}  // namespace

std::string to_text(const RankFacts& f) {
  const Json link = f.link ? Json{{"name", f.link->name}, {"bandwidth", f.link->bandwidth}} : Json();
  return data::dump_json(Json{{"host", f.host},
                              {"berth", f.berth},
                              {"libtorch", f.libtorch},
                              {"mpi", f.mpi},
                              {"hdf5", f.hdf5},
                              {"device", f.device},
                              {"cores", f.cores},
                              {"host_cores", f.host_cores},
                              {"quota", optional_json(f.quota)},
                              {"threads", f.threads},
                              {"visible_gpus", f.visible_gpus},
                              {"gpu", f.gpu},
                              {"clock", f.clock},
                              {"memory", optional_json(f.memory)},
                              {"link", link}});
}

RankFacts parse_facts(const std::string& text) {
  const auto json = data::parse_json<Json>(text, "a rank's facts", data::kOwnJson, ExitCode::kInternal);
  RankFacts f{.host = json["host"],
              .berth = json["berth"],
              .libtorch = json["libtorch"],
              .mpi = json["mpi"],
              .hdf5 = json["hdf5"],
              .device = json["device"],
              .cores = json["cores"].get<std::vector<int>>(),
              .host_cores = json["host_cores"],
              .threads = json["threads"],
              .visible_gpus = json["visible_gpus"],
              .gpu = json["gpu"],
              .clock = json["clock"]};
  if (!json["quota"].is_null()) f.quota = json["quota"].get<double>();
  if (!json["memory"].is_null()) f.memory = json["memory"].get<int64_t>();
  if (!json["link"].is_null()) f.link = Link{json["link"]["name"], json["link"]["bandwidth"]};
  return f;
}

Findings judge_versions(const std::vector<RankFacts>& ranks, const std::string& mpi_built_for, int launched) {
  Findings findings;
  const auto add = [&](Level level, const std::string& name, const std::string& found, const std::string& remedy) {
    findings.push_back({.level = level, .name = name, .found = found, .remedy = remedy});
  };
  const RankFacts& own = ranks.front();
  const auto size = static_cast<int>(ranks.size());
  if (launched > size)
    add(Level::kError, "versions",
        concat("the launcher started ", launched, " processes, but MPI sees ", counted(size, "rank"),
               ": it is another MPI's than ", own.mpi, ", which berth runs with"),
        "start it with that MPI's own mpirun, or srun with its protocol (srun --mpi=list)");
  if (!mpi_built_for.empty() && !own.mpi.empty() && family_of(own.mpi) != family_of(mpi_built_for))
    add(Level::kError, "versions", concat("berth was built for ", mpi_built_for, ", and runs with ", own.mpi),
        "load the MPI that it was built for, or build it again with this one");
  if (const std::string found = differences(ranks, [](const auto& rank) { return rank.berth; }); !found.empty())
    add(Level::kError, "versions", "not all ranks run the same berth: " + found, "install one berth for all hosts");
  for (const auto& [what, of] : {std::pair("libtorch or instruction set", &RankFacts::libtorch),
                                 {"MPI", &RankFacts::mpi},
                                 {"HDF5", &RankFacts::hdf5},
                                 {"device", &RankFacts::device}})
    if (const std::string found = differences(ranks, [of = of](const auto& rank) { return rank.*of; }); !found.empty())
      add(Level::kWarning, "versions", concat("the ranks differ in ", what, ": ", found),
          "hosts of one kind, of which the slowest does not hold up the others, and resumes have the same bits");
  if (findings.empty())
    add(Level::kOk, "versions", concat(own.berth, ", ", own.libtorch, ", ", own.mpi, ", HDF5 ", own.hdf5, ", ", own.device), "");
  const auto [first, last] =
      std::minmax_element(ranks.begin(), ranks.end(), [](const auto& a, const auto& b) { return a.clock < b.clock; });
  if (last->clock - first->clock > kMostSkew)
    add(Level::kWarning, "clocks",
        concat("the clock of ", last->host, " is ", in_words(last->clock - first->clock), " ahead of that of ", first->host),
        "set them (NTP, chrony): a job's time limit is told by the clock");
  return findings;
}

Findings judge_places(const std::vector<RankFacts>& ranks, const std::string& gpu_problem) {
  Findings findings;
  if (!gpu_problem.empty()) findings.push_back({.level = Level::kError, .name = "gpus", .found = gpu_problem});
  const auto hosts = by_host(ranks);
  for (const auto& [host, places] : hosts) judge_gpus(host, places, findings);
  if (findings.empty() && !ranks.front().gpu.empty())
    findings.push_back({.name = "gpus", .found = concat("one for each of ", counted(ranks.size(), "rank"))});
  const size_t before = findings.size();
  for (const auto& [host, places] : hosts)
    if (auto finding = judge_cores(host, places)) findings.push_back(*std::move(finding));
  if (findings.size() > before) return findings;
  const auto [fewest, most] =
      std::minmax_element(ranks.begin(), ranks.end(), [](const auto& a, const auto& b) { return a.threads < b.threads; });
  const int cores = std::accumulate(hosts.begin(), hosts.end(), 0, [](int sum, const auto& host) {
    std::set<int> own;
    for (const RankFacts* rank : host.second) own.insert(rank->cores.begin(), rank->cores.end());
    return sum + static_cast<int>(own.size());
  });
  const std::string threads = fewest->threads == most->threads
                                  ? counted(most->threads, "thread")
                                  : concat(fewest->threads, " to ", counted(most->threads, "thread"));
  findings.push_back({.name = "cores",
                      .found = concat(counted(ranks.size(), "rank"), " of ", threads, " on ", counted(cores, "core"), " of ",
                                      counted(hosts.size(), "host"))});
  return findings;
}

std::vector<std::string> hosts_of(const std::vector<RankFacts>& ranks) {
  std::vector<std::string> hosts;
  for (const RankFacts& rank : ranks)
    if (std::find(hosts.begin(), hosts.end(), rank.host) == hosts.end()) hosts.push_back(rank.host);
  return hosts;
}

}  // namespace berth::preflight
