// Finds out which ranks did not arrive where this one waits, and ends the job.
//
// Every rank publishes how many collectives it has entered and a label of what it is doing (its position). A rank that has waited
// too long asks all others for theirs; ranks answer while they wait themselves, and, where MPI allows several threads, at any
// time.
#pragma once

#include <atomic>
#include <cstdint>
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

  // Answers rolls called by others. Cheap; call now and then. From any thread that may call MPI.
  void answer();
  // `operation` did not finish in time. Prints what is known of the ranks that are behind (one rank prints) and ends all with
  // code 1.
  [[noreturn]] void report(const std::string& operation);

  const std::vector<std::string>& hosts() const { return hosts_; }

 private:
  struct Position {
    int64_t entered = -1;  // -1: no answer
    char stage[192] = "";
    char name[56] = "";  // of the last collective entered
  };
  Position position();
  std::vector<Position> ask();
  std::string describe(const std::vector<Position>& positions) const;

  MPI_Comm comm_;
  int rank_ = 0;
  int size_ = 1;
  std::vector<std::string> hosts_;
  std::mutex position_mutex_;
  Position position_;
  std::mutex answer_mutex_;
  std::atomic<bool> lower_rank_asked_{false};
};

}  // namespace berth::comm
