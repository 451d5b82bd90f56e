#include "trainer/comm/mpi/roll_call.h"

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <iostream>
#include <thread>

#include "data/check.h"
#include "data/words.h"
#include "trainer/comm/mpi/guardian.h"
#include "trainer/comm/mpi/mpi_check.h"
#include "trainer/comm/peer_process.h"

namespace berth::comm {
namespace {

constexpr int kAsk = 1;
constexpr int kAnswer = 2;
constexpr int kMostNamed = 16;                       // ranks in one report
constexpr auto kPatience = std::chrono::seconds(2);  // for answers

// The number of this process's PID namespace; 0: not known.
uint64_t process_space() {
  struct stat space {};
  return stat("/proc/self/ns/pid", &space) == 0 ? space.st_ino : 0;
}

double seconds_since(std::chrono::steady_clock::time_point then) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - then).count();
}

std::string whole(double seconds) { return concat(static_cast<int64_t>(seconds), " s"); }

template <size_t n>
void copy_text(char (&to)[n], const std::string& text) {
  std::memset(to, 0, n);
  text.copy(to, n - 1);
}

}  // namespace

RollCall::RollCall(MPI_Comm comm, const std::string& host) : comm_(comm) {
  BERTH_MPI(MPI_Comm_rank(comm_, &rank_));
  BERTH_MPI(MPI_Comm_size(comm_, &size_));
  Place own{.process = getpid(), .process_space = process_space()};
  copy_text(own.host, host);
  places_.resize(size_);
  BERTH_MPI(MPI_Allgather(&own, sizeof own, MPI_BYTE, places_.data(), sizeof own, MPI_BYTE, comm_));
  position_.rank = rank_;
  position_.entered = 0;
}

void RollCall::set_stage(const std::string& stage) {
  const std::lock_guard lock(position_mutex_);
  copy_text(position_.stage, stage);
  position_since_ = Clock::now();
}

void RollCall::enter(const char* name) {
  const std::lock_guard lock(position_mutex_);
  ++position_.entered;
  copy_text(position_.name, name);
  position_since_ = Clock::now();
}

void RollCall::ended() { last_end_ = Clock::now(); }

RollCall::Position RollCall::position() {
  const std::lock_guard lock(position_mutex_);
  Position now = position_;
  now.seconds = seconds_since(position_since_);
  return now;
}

bool RollCall::same_host(int one, int other) const {
  const Place &a = places_[one], &b = places_[other];
  return a.process_space == b.process_space && std::strcmp(a.host, b.host) == 0;
}

RollCall::Position RollCall::seen_from_here(int rank) const {
  Position seen{.rank = rank};
  const std::string trouble = trouble_of(static_cast<pid_t>(places_[rank].process));
  copy_text(seen.stage, trouble.empty() ? concat("gives no answer (process ", places_[rank].process, ")") : trouble);
  return seen;
}

void RollCall::answer() {
  const std::unique_lock lock(answer_mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return;
  for (;;) {
    int found = 0;
    MPI_Status status;
    BERTH_MPI(MPI_Iprobe(MPI_ANY_SOURCE, kAsk, comm_, &found, &status));
    if (!found) return;
    int about = 0;
    BERTH_MPI(MPI_Recv(&about, 1, MPI_INT, status.MPI_SOURCE, kAsk, comm_, MPI_STATUS_IGNORE));
    if (status.MPI_SOURCE < rank_) lower_rank_asked_ = true;
    const Position known = about == rank_ ? position() : seen_from_here(about);
    BERTH_MPI(MPI_Send(&known, sizeof known, MPI_BYTE, status.MPI_SOURCE, kAnswer, comm_));
  }
}

// A question is small enough to be on its way when this returns; whether it arrives is nobody's business: the job ends here.
void RollCall::question(int whom, int about) {
  MPI_Request request;
  int& kept = questions_.emplace_back(about);
  BERTH_MPI(MPI_Isend(&kept, 1, MPI_INT, whom, kAsk, comm_, &request));
}

void RollCall::hear(std::vector<Position>& positions, int missing) {
  const auto end = Clock::now() + kPatience;
  while (missing > 0 && Clock::now() < end) {
    answer();
    int found = 0;
    MPI_Status status;
    BERTH_MPI(MPI_Iprobe(MPI_ANY_SOURCE, kAnswer, comm_, &found, &status));
    if (!found) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      continue;
    }
    Position heard;
    BERTH_MPI(MPI_Recv(&heard, sizeof heard, MPI_BYTE, status.MPI_SOURCE, kAnswer, comm_, MPI_STATUS_IGNORE));
    positions[static_cast<size_t>(heard.rank)] = heard;
    --missing;
  }
}

std::vector<RollCall::Position> RollCall::ask() {
  std::vector<Position> positions(size_);
  positions[rank_] = position();
  for (int r = 0; r < size_; ++r)
    if (r != rank_) question(r, r);
  hear(positions, size_ - 1);
  int asked = 0;
  for (int r = 0; r < size_ && asked < kMostNamed; ++r) {
    if (positions[r].entered >= 0) continue;
    if (same_host(r, rank_)) {
      positions[r] = seen_from_here(r);
      continue;
    }
    int beside = 0;
    while (beside < size_ && (positions[beside].entered < 0 || !same_host(r, beside))) ++beside;
    if (beside == size_) continue;
    question(beside, r);
    ++asked;
  }
  hear(positions, asked);
  return positions;
}

std::string RollCall::describe(const std::vector<Position>& positions) const {
  std::string text;
  int behind = 0;
  for (int r = 0; r < size_; ++r) {
    const Position& p = positions[r];
    if (p.entered >= positions[rank_].entered) continue;
    if (++behind > kMostNamed) continue;
    text += concat("\n  rank ", r, " on host ", places_[r].host, " did not arrive: ");
    if (p.entered < 0) {
      text += describe_silent(p);
    } else {
      text += concat("it is in \"", p.stage, "\", for ", whole(p.seconds), ", after ", counted(p.entered, "collective"),
                     p.entered ? ", the last one " : "", p.name);
    }
  }
  if (behind > kMostNamed) text += concat("\n  and ", counted(behind - kMostNamed, "more rank"));
  if (!behind) text = "\n  all ranks arrived: the network, MPI or NCCL is stuck";
  return text;
}

std::string RollCall::describe_silent(const Position& position) const {
  const std::string trouble = position.stage[0] != '\0' ? position.stage : "gives no answer: stopped, gone or cut off";
  return concat("it ", trouble, "; the last collective ended ", whole(seconds_since(last_end_)), " ago");
}

void RollCall::report(const std::string& operation) {
  constexpr int kAtMost = 15;  // seconds
  leave_guardian(kAtMost);
  const std::vector<Position> positions = ask();
  if (!lower_rank_asked_) {
    const Position& here = positions[rank_];
    std::cerr << concat("berth: rank ", rank_, " on host ", places_[rank_].host, " waits in vain for ", operation, " in \"",
                        here.stage, "\" (collective ", here.entered, ")", describe(positions), "\n")
              << std::flush;
  } else {
    // The rank that asked first prints and ends the job.
    for (const auto end = Clock::now() + 3 * kPatience; Clock::now() < end;) {
      answer();
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  MPI_Abort(comm_, static_cast<int>(ExitCode::kInternal));
  std::abort();
}

}  // namespace berth::comm
