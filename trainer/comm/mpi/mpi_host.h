// The ranks of the job and their host collectives, over MPI-3.
//
// Collectives are nonblocking ones that are polled: so a waiting rank leaves its core to its other threads, sees a hang
// (RollCall) and answers others. All communicators are duplicates with MPI_ERRORS_RETURN; none is freed, since that would be a
// collective call.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "trainer/comm/communicator.h"
#include "trainer/comm/mpi/mpi_check.h"
#include "trainer/comm/mpi/roll_call.h"

namespace berth::comm {

class MpiHost {
 public:
  // Of all ranks of the job, or of those that give the same `group` (>= 0).
  MpiHost(const CommOptions& options, int group);

  int rank() const { return rank_; }
  int size() const { return size_; }
  int local_rank() const { return local_rank_; }
  int local_size() const { return local_size_; }
  bool threads() const { return threads_; }  // MPI_THREAD_MULTIPLE
  RollCall& roll_call() { return *roll_call_; }
  int hosts() const { return hosts_; }

  // A new communicator of the ranks with the same color, in rank order; MPI_COMM_NULL for color MPI_UNDEFINED. Collective.
  MPI_Comm split(int color);
  // The bytes of all ranks of comm, in rank order.
  std::vector<std::string> all_gather(const std::string& bytes, MPI_Comm comm);
  std::vector<std::string> all_gather(const std::string& bytes) { return all_gather(bytes, comm_); }
  MPI_Comm local_comm() const { return local_comm_; }

  void all_reduce(void* values, size_t count, MPI_Datatype type, MPI_Op op);
  void broadcast(void* data, size_t bytes, int root) { broadcast(data, bytes, root, comm_); }
  // Among the ranks of `comm`, in which `root` is counted; the others, for which it is MPI_COMM_NULL, make the call, too.
  void broadcast(void* data, size_t bytes, int root, MPI_Comm comm);
  void broadcast(std::string& bytes, int root);
  std::vector<std::string> gather(const std::string& bytes, int root);
  void barrier();
  // Communicator::seconds_waited(); for the thread that calls what waits.
  double seconds_waited() const { return seconds_waited_; }
  void waited(double seconds);  // in another collective, which has ended
  [[noreturn]] void report_hang(const std::string& operation);
  [[noreturn]] void abort(int code);

 private:
  // Polls until the request is done; `name` for the report.
  void complete(MPI_Request request, const char* name);

  double timeout_seconds_;
  size_t message_bytes_;
  MPI_Comm comm_ = MPI_COMM_NULL;
  MPI_Comm local_comm_ = MPI_COMM_NULL;
  int rank_ = 0;
  int size_ = 1;
  int local_rank_ = 0;
  int local_size_ = 1;
  int hosts_ = 1;
  bool threads_ = false;
  double seconds_waited_ = 0;
  std::thread::id main_thread_;
  std::unique_ptr<RollCall> roll_call_;
};

}  // namespace berth::comm
