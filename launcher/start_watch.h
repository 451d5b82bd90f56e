// The time before MPI is up, and when it is taken down, in which a rank that does not come leaves all others waiting without a word.
//
// Each rank makes itself known on its host by an abstract Unix socket (unix(7): it lives as long as the process, and is no file),
// named after the job and the rank's number on the host. Whoever waits too long looks which of its host's ranks are not there, or
// are stopped.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace berth::launch {

// Where the launcher placed this process, as far as its environment says.
struct RankPlace {
  std::string job;  // the same for all ranks, and for no other job of the host
  int rank = 0, size = 1;
  int local_rank = 0, local_size = 1;  // on this host
};
// Of mpirun (Open MPI), or of srun. None: started alone, or by a launcher that berth does not know. `get_env` is getenv or a
// test's.
std::optional<RankPlace> find_place(const std::function<const char*(const char*)>& get_env);

// Makes the rank known until it is destroyed.
class Presence {
 public:
  explicit Presence(const RankPlace& place);
  ~Presence();
  Presence(const Presence&) = delete;
  Presence& operator=(const Presence&) = delete;

 private:
  int socket_ = -1;
};

// The host's ranks that are not there, or are stopped: a line for each ("\n  rank 2 on host a …"); "" if all run.
std::string missing_ranks(const RankPlace& place, const std::string& host);

// Watches over the start, from its construction to all_came(), and over the end, from ends() on. After a minute, or the timeout if that is
// shorter, the first running rank of each host that misses some names them, and rank 0 says that it waits; at the timeout the process ends
// with exit code 1.
class StartWatch {
 public:
  explicit StartWatch(double timeout_seconds);
  ~StartWatch() { all_came(); }
  StartWatch(const StartWatch&) = delete;
  StartWatch& operator=(const StartWatch&) = delete;

  // This rank has heard of all others. It stays known to those that have not until this object is destroyed.
  void all_came();
  // This rank has nothing more to do but to end MPI, for which it waits for the others.
  void ends() { watch_until("end"); }

 private:
  void watch_until(const char* what);
  void watch(const char* what);

  double timeout_seconds_;
  std::optional<RankPlace> place_;
  std::optional<Presence> presence_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool all_came_ = false;
  std::thread thread_;
};

}  // namespace berth::launch
