// Finds out which ranks did not arrive where this one waits, and ends the job.
//
// Every rank publishes how many collectives it has entered and a label of what it is doing (its position). A rank that has waited
// too long asks all others for theirs; ranks answer while they wait themselves, and, where MPI allows several threads, at any
// time. Of a rank that gives no answer another one on its host, which asks the system, says whether its process is stopped or has ended.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "trainer/comm/mpi/mpi_check.h"

namespace berth::comm {

class RollCall {
 public:
  // Collective. `comm` is for this object alone. `host` is this rank's host name.
  RollCall(MPI_Comm comm, const std::string& host);

  void set_stage(const std::string& stage);
  // Another collective begins, in program order; `name` as in "barrier".
  void enter(const char* name);  // a literal
  // One has ended for this rank.
  void ended();

  // Answers rolls called by others. Cheap; call now and then. From any thread that may call MPI.
  void answer();
  // `operation` did not finish in time. Prints what is known of the ranks that are behind (one rank prints) and ends all with
  // code 1.
  [[noreturn]] void report(const std::string& operation);

 private:
  using Clock = std::chrono::steady_clock;
  struct Position {
    int64_t rank = -1;     // of which this is the position
    int64_t entered = -1;  // -1: no answer
    double seconds = 0;    // since it entered that collective, or that stage
    char stage[192] = "";  // without an answer, what the system says of the process (trouble_of)
    char name[56] = "";    // of the last collective entered
  };
  // Where a rank runs.
  struct Place {
    char host[64] = "";
    int64_t process = 0;
    uint64_t process_space = 0;  // in which that number is meant
  };
  Position position();
  std::vector<Position> ask();
  // Asks rank `whom` about rank `about`: itself, or another one of its host.
  void question(int whom, int about);
  // Takes answers until none of so many is missing, or patience ends.
  void hear(std::vector<Position>& positions, int missing);
  bool same_host(int one, int other) const;
  Position seen_from_here(int rank) const;
  std::string describe(const std::vector<Position>& positions) const;
  std::string describe_silent(const Position& position) const;

  MPI_Comm comm_;
  int rank_ = 0;
  int size_ = 1;
  std::vector<Place> places_;  // by rank
  std::mutex position_mutex_;
  Position position_;
  Clock::time_point position_since_ = Clock::now();
  std::atomic<Clock::time_point> last_end_ = Clock::now();  // of a collective
  std::deque<int> questions_;                               // asked
  std::mutex answer_mutex_;
  std::atomic<bool> lower_rank_asked_{false};
};

}  // namespace berth::comm
