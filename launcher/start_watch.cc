#include "launcher/start_watch.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <sstream>
#include <utility>

#include "data/check.h"
#include "launcher/device.h"
#include "trainer/comm/peer_process.h"
#include "trainer/comm/running_time.h"

namespace berth::launch {
namespace {

constexpr double kPatienceSeconds = 60;
constexpr auto kInterval = std::chrono::milliseconds(100);
constexpr auto kTimeToSpeak = std::chrono::seconds(5);  // for another rank: the first to end ends all

using GetEnv = std::function<const char*(const char*)>;

std::optional<int> number(const char* text) {
  if (!text || !*text) return std::nullopt;
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);
  if (*end != '\0' || value < 0 || value > 1 << 24) return std::nullopt;
  return static_cast<int>(value);
}

// How many tasks Slurm placed on node `node` of the step; as in "2(x3),1" (srun(1), SLURM_STEP_TASKS_PER_NODE).
std::optional<int> tasks_of_node(const char* list, std::optional<int> node) {
  if (!list || !node) return std::nullopt;
  std::istringstream text(list);
  int left = *node;
  for (std::string part; std::getline(text, part, ',');) {
    const size_t times = part.find("(x");
    const auto tasks = number(part.substr(0, times).c_str());
    const auto nodes = times == std::string::npos ? 1 : number(part.substr(times + 2, part.size() - times - 3).c_str());
    if (!tasks || !nodes) return std::nullopt;
    if (left < *nodes) return tasks;
    left -= *nodes;
  }
  return std::nullopt;
}

// The name of a rank's socket: it begins with a NUL, which makes it abstract.
std::pair<sockaddr_un, socklen_t> address(const RankPlace& place, int local_rank) {
  const std::string name = concat("berth-start-", getuid(), "-", place.job, "-", local_rank);
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  const size_t length = std::min(name.size(), sizeof to.sun_path - 1);
  // Of a long name the end tells ranks and jobs apart.
  std::memcpy(to.sun_path + 1, name.data() + name.size() - length, length);
  return {to, static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + length)};
}

// Another rank of this host, as far as can be seen.
struct Peer {
  pid_t process = 0;  // 0: not there
  bool runs() const { return process != 0 && !comm::find_process(process).is_stopped(); }
};

Peer find_peer(const RankPlace& place, int local_rank) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return {};
  const auto [to, length] = address(place, local_rank);
  ucred peer{};
  socklen_t size = sizeof peer;
  const bool found = connect(fd, reinterpret_cast<const sockaddr*>(&to), length) == 0 &&
                     getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
  close(fd);
  if (!found) return {};
  return {peer.pid};
}

// Of a host's ranks one speaks.
bool is_first_running(const RankPlace& place) {
  for (int r = 0; r < place.local_rank; ++r)
    if (find_peer(place, r).runs()) return false;
  return true;
}

}  // namespace

std::optional<RankPlace> find_place(const GetEnv& get_env) {
  const auto ask = [&](const char* name) { return number(get_env(name)); };
  const char* job = get_env("PMIX_NAMESPACE");
  RankPlace place;
  std::optional<int> rank = ask("OMPI_COMM_WORLD_RANK"), size = ask("OMPI_COMM_WORLD_SIZE");
  std::optional<int> local_rank = ask("OMPI_COMM_WORLD_LOCAL_RANK"), local_size = ask("OMPI_COMM_WORLD_LOCAL_SIZE");
  if (!rank) {
    rank = ask("SLURM_PROCID");
    size = ask("SLURM_STEP_NUM_TASKS");
    local_rank = ask("SLURM_LOCALID");
    local_size = tasks_of_node(get_env("SLURM_STEP_TASKS_PER_NODE"), ask("SLURM_NODEID"));
  }
  if (!job || !rank || !size || !local_rank || !local_size) return std::nullopt;
  return RankPlace{.job = job, .rank = *rank, .size = *size, .local_rank = *local_rank, .local_size = *local_size};
}

Presence::Presence(const RankPlace& place) : socket_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const auto [name, length] = address(place, place.local_rank);
  // Without it the others would only be told less.
  if (socket_ >= 0 && bind(socket_, reinterpret_cast<const sockaddr*>(&name), length) == 0) listen(socket_, SOMAXCONN);
}

Presence::~Presence() {
  if (socket_ >= 0) close(socket_);
}

std::string missing_ranks(const RankPlace& place, const std::string& host) {
  std::string text;
  for (int r = 0; r < place.local_size; ++r) {
    if (r == place.local_rank) continue;
    // Only where one host has all ranks do their numbers follow from those on the host.
    const std::string who =
        place.local_size == place.size ? concat("rank ", r, " on host ", host) : concat("local rank ", r, " of host ", host);
    const Peer peer = find_peer(place, r);
    if (peer.process == 0)
      text +=
          concat("\n  ", who, " is not there: its process was not started, has ended, or hangs while its libraries are loaded");
    else if (const std::string trouble = comm::trouble_of(peer.process); !trouble.empty())
      text += concat("\n  ", who, " ", trouble);
  }
  return text;
}

StartWatch::StartWatch(double timeout_seconds) : timeout_seconds_(timeout_seconds), place_(find_place(std::getenv)) {
  if (!place_ || place_->size < 2) return;
  presence_.emplace(*place_);
  watch_until("start");
}

void StartWatch::all_came() {
  {
    const std::lock_guard lock(mutex_);
    all_came_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void StartWatch::watch_until(const char* what) {
  all_came();
  all_came_ = false;
  if (presence_) thread_ = std::thread([this, what] { watch(what); });
}

void StartWatch::watch(const char* what) {
  comm::RunningTime time;
  double next_word = std::min(kPatienceSeconds, timeout_seconds_);
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, kInterval, [this] { return all_came_; })) {
    const double waited = std::chrono::duration<double>(time.look()).count();
    if (waited < next_word) continue;
    const std::string host = host_name(), missing = missing_ranks(*place_, host);
    const bool speaks = place_->rank == 0 || (!missing.empty() && is_first_running(*place_));
    if (speaks)
      std::cerr << concat("berth: rank ", place_->rank, " has waited ", static_cast<int64_t>(waited), " s for all ranks to ",
                          what, missing.empty() ? "; those of host " + host + " are there" : missing, "\n")
                << std::flush;
    if (waited >= timeout_seconds_) {
      if (!speaks) std::this_thread::sleep_for(kTimeToSpeak);
      _exit(static_cast<int>(ExitCode::kInternal));
    }
    next_word = timeout_seconds_;
  }
}

}  // namespace berth::launch
