#include "trainer/comm/mpi/roll_call.h"

#include <chrono>
#include <cstring>
#include <iostream>
#include <thread>

#include "data/check.h"
#include "data/words.h"
#include "trainer/comm/mpi/mpi_check.h"

namespace berth::comm {
namespace {

constexpr int kAsk = 1;
constexpr int kAnswer = 2;
constexpr size_t kHostBytes = 64;
constexpr int kMostNamed = 16;                       // ranks in one report
constexpr auto kPatience = std::chrono::seconds(2);  // for answers

template <size_t n>
void copy_text(char (&to)[n], const std::string& text) {
  std::memset(to, 0, n);
  text.copy(to, n - 1);
}

}  // namespace

RollCall::RollCall(MPI_Comm comm, const std::string& host) : comm_(comm) {
  BERTH_MPI(MPI_Comm_rank(comm_, &rank_));
  BERTH_MPI(MPI_Comm_size(comm_, &size_));
  char own[kHostBytes];
  copy_text(own, host);
  std::string all(kHostBytes * size_, '\0');
  BERTH_MPI(MPI_Allgather(own, kHostBytes, MPI_CHAR, all.data(), kHostBytes, MPI_CHAR, comm_));
  for (int r = 0; r < size_; ++r) hosts_.emplace_back(all.c_str() + r * kHostBytes);
  position_.entered = 0;
}

void RollCall::set_stage(const std::string& stage) {
  const std::lock_guard lock(position_mutex_);
  copy_text(position_.stage, stage);
}

void RollCall::enter(const char* name) {
  const std::lock_guard lock(position_mutex_);
  ++position_.entered;
  copy_text(position_.name, name);
}

RollCall::Position RollCall::position() {
  const std::lock_guard lock(position_mutex_);
  return position_;
}

void RollCall::answer() {
  const std::unique_lock lock(answer_mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return;
  for (;;) {
    int found = 0;
    MPI_Status status;
    BERTH_MPI(MPI_Iprobe(MPI_ANY_SOURCE, kAsk, comm_, &found, &status));
    if (!found) return;
    BERTH_MPI(MPI_Recv(nullptr, 0, MPI_BYTE, status.MPI_SOURCE, kAsk, comm_, MPI_STATUS_IGNORE));
    if (status.MPI_SOURCE < rank_) lower_rank_asked_ = true;
    const Position here = position();
    BERTH_MPI(MPI_Send(&here, sizeof here, MPI_BYTE, status.MPI_SOURCE, kAnswer, comm_));
  }
}

// The requests of the questions are never completed: the job ends here.
std::vector<RollCall::Position> RollCall::ask() {
  std::vector<Position> positions(size_);
  positions[rank_] = position();
  for (int r = 0; r < size_; ++r) {
    MPI_Request request;
    if (r != rank_) BERTH_MPI(MPI_Isend(nullptr, 0, MPI_BYTE, r, kAsk, comm_, &request));
  }
  int missing = size_ - 1;
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (missing > 0 && std::chrono::steady_clock::now() < end) {
    answer();
    int found = 0;
    MPI_Status status;
    BERTH_MPI(MPI_Iprobe(MPI_ANY_SOURCE, kAnswer, comm_, &found, &status));
    if (found) {
      BERTH_MPI(MPI_Recv(&positions[status.MPI_SOURCE], sizeof(Position), MPI_BYTE, status.MPI_SOURCE, kAnswer, comm_,
                         MPI_STATUS_IGNORE));
      --missing;
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  return positions;
}

std::string RollCall::describe(const std::vector<Position>& positions) const {
  std::string text;
  int behind = 0;
  for (int r = 0; r < size_; ++r) {
    const Position& p = positions[r];
    if (p.entered >= positions[rank_].entered) continue;
    if (++behind > kMostNamed) continue;
    text += concat("\n  rank ", r, " on host ", hosts_[r], " did not arrive: ");
    if (p.entered < 0) {
      text += "it gives no answer";
    } else {
      text += concat("it is in \"", p.stage, "\", after ", counted(p.entered, "collective"), p.entered ? ", the last one " : "",
                     p.name);
    }
  }
  if (behind > kMostNamed) text += concat("\n  and ", counted(behind - kMostNamed, "more rank"));
  if (!behind) text = "\n  all ranks arrived: the network or the MPI library is stuck";
  return text;
}

void RollCall::report(const std::string& operation) {
  const std::vector<Position> positions = ask();
  if (!lower_rank_asked_) {
    const Position& here = positions[rank_];
    std::cerr << concat("berth: rank ", rank_, " on host ", hosts_[rank_], " waits in vain for ", operation, " in \"", here.stage,
                        "\" (collective ", here.entered, ")", describe(positions), "\n")
              << std::flush;
  } else {
    std::this_thread::sleep_for(2 * kPatience);  // the rank that asked first prints and ends the job
  }
  MPI_Abort(comm_, static_cast<int>(ExitCode::kInternal));
  std::abort();
}

}  // namespace berth::comm
