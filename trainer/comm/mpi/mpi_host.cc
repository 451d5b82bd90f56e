#include "trainer/comm/mpi/mpi_host.h"

#include <algorithm>
#include <climits>
#include <iostream>
#include <numeric>

#include "data/check.h"
#include "trainer/comm/mpi/mpi_check.h"
#include "trainer/comm/mpi/watch.h"
#include "trainer/trace/range.h"

namespace berth::comm {
namespace {

MPI_Comm duplicate(MPI_Comm comm) {
  MPI_Comm copy;
  BERTH_MPI(MPI_Comm_dup(comm, &copy));
  BERTH_MPI(MPI_Comm_set_errhandler(copy, MPI_ERRORS_RETURN));
  return copy;
}

std::string host_name() {
  char name[MPI_MAX_PROCESSOR_NAME] = "";
  int length = 0;
  BERTH_MPI(MPI_Get_processor_name(name, &length));
  return std::string(name, length);
}

}  // namespace

MpiHost::MpiHost(const CommOptions& options, int group)
    : timeout_seconds_(options.timeout_seconds),
      message_bytes_(static_cast<size_t>(options.message_bytes)),
      main_thread_(std::this_thread::get_id()) {
  int initialized = 0, level = 0;
  MPI_Initialized(&initialized);
  check_internal(initialized, "an MPI communicator was asked for before MPI_Init_thread");
  check_internal(options.message_bytes > 0 && options.message_bytes <= INT_MAX, "message_bytes out of range");
  comm_ = duplicate(MPI_COMM_WORLD);
  if (group >= 0) comm_ = split(group);
  BERTH_MPI(MPI_Query_thread(&level));
  threads_ = level == MPI_THREAD_MULTIPLE;
  BERTH_MPI(MPI_Comm_rank(comm_, &rank_));
  BERTH_MPI(MPI_Comm_size(comm_, &size_));
  BERTH_MPI(MPI_Comm_split_type(comm_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &local_comm_));
  if (options.ranks_per_host > 0) local_comm_ = split(rank_ / options.ranks_per_host);
  BERTH_MPI(MPI_Comm_rank(local_comm_, &local_rank_));
  BERTH_MPI(MPI_Comm_size(local_comm_, &local_size_));
  int64_t first = local_rank_ == 0 ? 1 : 0;
  roll_call_ = std::make_unique<RollCall>(duplicate(comm_), host_name());
  all_reduce(&first, 1, MPI_INT64_T, MPI_SUM);
  hosts_ = static_cast<int>(first);
}

MPI_Comm MpiHost::split(int color) {
  MPI_Comm part;
  BERTH_MPI(MPI_Comm_split(comm_, color, rank_, &part));
  if (part != MPI_COMM_NULL) BERTH_MPI(MPI_Comm_set_errhandler(part, MPI_ERRORS_RETURN));
  return part;
}

void MpiHost::complete(MPI_Request request, const char* name) {
  const trace::Range range(name);
  Watch watch(*this, name, /*calls_mpi=*/true, timeout_seconds_);
  for (;;) {
    int done = 0;
    BERTH_MPI(MPI_Test(&request, &done, MPI_STATUS_IGNORE));
    if (done) break;
    watch.pause();
  }
  waited(watch.seconds());
}

void MpiHost::all_reduce(void* values, size_t count, MPI_Datatype type, MPI_Op op) {
  roll_call_->enter("all-reduce of values");
  check_internal(count <= message_bytes_ / sizeof(int64_t), "all-reduce of too many host values: ", count);
  MPI_Request request;
  BERTH_MPI(MPI_Iallreduce(MPI_IN_PLACE, values, static_cast<int>(count), type, op, comm_, &request));
  complete(request, "all-reduce of values");
}

void MpiHost::broadcast(void* data, size_t bytes, int root, MPI_Comm comm) {
  roll_call_->enter("broadcast");
  if (comm == MPI_COMM_NULL) return;
  for (size_t at = 0; at < bytes; at += message_bytes_) {
    const int n = static_cast<int>(std::min(message_bytes_, bytes - at));
    MPI_Request request;
    BERTH_MPI(MPI_Ibcast(static_cast<char*>(data) + at, n, MPI_BYTE, root, comm, &request));
    complete(request, "broadcast");
  }
}

void MpiHost::broadcast(std::string& bytes, int root) {
  int64_t size = static_cast<int64_t>(bytes.size());
  broadcast(&size, sizeof size, root);
  bytes.resize(static_cast<size_t>(size));
  broadcast(bytes.data(), bytes.size(), root);
}

std::vector<std::string> MpiHost::gather(const std::string& bytes, int root) {
  roll_call_->enter("gather");
  constexpr int kTag = 1;
  std::vector<int64_t> sizes(size_);
  const int64_t own = static_cast<int64_t>(bytes.size());
  MPI_Request request;
  BERTH_MPI(MPI_Iallgather(&own, 1, MPI_INT64_T, sizes.data(), 1, MPI_INT64_T, comm_, &request));
  complete(request, "gather");
  std::vector<std::string> all;
  for (int sender = 0; sender < size_; ++sender) {
    if (rank_ != root && sender != rank_) continue;
    std::string* received = rank_ == root ? &all.emplace_back(static_cast<size_t>(sizes[sender]), '\0') : nullptr;
    if (sender == root) {
      if (received) *received = bytes;
      continue;
    }
    for (size_t at = 0; at < static_cast<size_t>(sizes[sender]); at += message_bytes_) {
      const int n = static_cast<int>(std::min(message_bytes_, static_cast<size_t>(sizes[sender]) - at));
      if (received) {
        BERTH_MPI(MPI_Irecv(received->data() + at, n, MPI_BYTE, sender, kTag, comm_, &request));
      } else {
        BERTH_MPI(MPI_Isend(bytes.data() + at, n, MPI_BYTE, root, kTag, comm_, &request));
      }
      complete(request, "gather");
    }
  }
  return all;
}

std::vector<std::string> MpiHost::all_gather(const std::string& bytes, MPI_Comm comm) {
  roll_call_->enter("all-gather");
  int ranks = 0, rank = 0;
  BERTH_MPI(MPI_Comm_size(comm, &ranks));
  BERTH_MPI(MPI_Comm_rank(comm, &rank));
  std::vector<int64_t> sizes(ranks);
  const int64_t own = static_cast<int64_t>(bytes.size());
  MPI_Request request;
  BERTH_MPI(MPI_Iallgather(&own, 1, MPI_INT64_T, sizes.data(), 1, MPI_INT64_T, comm, &request));
  complete(request, "all-gather");
  std::vector<std::string> all;
  for (const int64_t size : sizes) all.emplace_back(static_cast<size_t>(size), '\0');
  all[rank] = bytes;
  const int64_t total = std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
  if (total <= static_cast<int64_t>(message_bytes_)) {
    std::string joined(static_cast<size_t>(total), '\0');
    const std::vector<int> counts(sizes.begin(), sizes.end());
    std::vector<int> starts(ranks, 0);
    std::partial_sum(counts.begin(), counts.end() - 1, starts.begin() + 1);
    BERTH_MPI(MPI_Iallgatherv(bytes.data(), counts[rank], MPI_BYTE, joined.data(), counts.data(), starts.data(), MPI_BYTE, comm,
                              &request));
    complete(request, "all-gather");
    for (int r = 0; r < ranks; ++r) all[r].assign(joined, starts[r], counts[r]);
    return all;
  }
  for (int sender = 0; sender < ranks; ++sender) {
    for (size_t at = 0; at < all[sender].size(); at += message_bytes_) {
      const int n = static_cast<int>(std::min(message_bytes_, all[sender].size() - at));
      BERTH_MPI(MPI_Ibcast(all[sender].data() + at, n, MPI_BYTE, sender, comm, &request));
      complete(request, "all-gather");
    }
  }
  return all;
}

void MpiHost::barrier() {
  roll_call_->enter("barrier");
  MPI_Request request;
  BERTH_MPI(MPI_Ibarrier(comm_, &request));
  complete(request, "barrier");
}

void MpiHost::report_hang(const std::string& operation) {
  if (threads_ || std::this_thread::get_id() == main_thread_) roll_call_->report(operation);
  std::cerr << concat("berth: rank ", rank_, " waits in vain for ", operation, "\n") << std::flush;
  abort(static_cast<int>(ExitCode::kInternal));
}

void MpiHost::waited(double seconds) {
  seconds_waited_ += seconds;
  roll_call_->ended();
}

void MpiHost::abort(int code) {
  MPI_Abort(MPI_COMM_WORLD, code);
  std::abort();
}

}  // namespace berth::comm
