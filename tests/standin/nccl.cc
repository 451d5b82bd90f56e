// libnccl.so.2 without a GPU: collectives over POSIX shared memory, in the order of their streams, on the shadows of device memory. Sums
// (fp32) are added in the order of ranks, so all ranks get the same bits. https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/api/
//
//   STANDIN_NCCL_DELAY_US=n          each collective takes so much longer
//   STANDIN_NCCL_STALL=rank:n        the rank's call that starts its n-th collective (from 0) does not return; all:n, of every rank
//   STANDIN_NCCL_HANG=rank:n         the call returns, and the collective never ends
//   STANDIN_NCCL_ERROR=rank:n        it fails, as NCCL reports it: later
#include <fcntl.h>
#include <nccl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <functional>
#include <thread>

#include "tests/standin/standin.h"

using namespace berth::standin;

namespace {

constexpr size_t kChunk = 1 << 20;  // bytes that a rank brings to one round

// Where the ranks of a communicator meet. Zeros until rank 0 has made it.
struct Meeting {
  std::atomic<int> joined;
  std::atomic<bool> made;
  pthread_mutex_t mutex;
  pthread_cond_t all_here;
  int here;
  uint64_t round;
};
constexpr size_t kHeader = 4096;
static_assert(sizeof(Meeting) <= kHeader);

void make(Meeting& meeting) {
  pthread_mutexattr_t mutex;
  pthread_mutexattr_init(&mutex);
  pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
  pthread_mutex_init(&meeting.mutex, &mutex);
  pthread_condattr_t condition;
  pthread_condattr_init(&condition);
  pthread_condattr_setpshared(&condition, PTHREAD_PROCESS_SHARED);
  pthread_cond_init(&meeting.all_here, &condition);
  meeting.made = true;
}

}  // namespace

struct ncclComm {
  int rank = 0, size = 0, device = 0;
  Meeting* meeting = nullptr;
  std::atomic<bool> aborted{false};
  std::atomic<ncclResult_t> error{ncclSuccess};
  long started = 0, begun = 0;  // collectives: by the host, by the stream

  unsigned char* chunk(int of) const { return reinterpret_cast<unsigned char*>(meeting) + kHeader + of * kChunk; }
  // Returns when all ranks have come, false once this one is aborted.
  bool meet();
  // The setting `name` is rank:n, of this rank and this collective, or all:n.
  bool is_set(const char* name, long collective) const;
  // Begins the next collective as the settings want; false if it is to end here.
  bool begin();
};

bool ncclComm::is_set(const char* name, long collective) const {
  const char* const value = std::getenv(name);
  int of_rank = -1;
  long n = -1;
  if (!value) return false;
  if (sscanf(value, "all:%ld", &n) == 1) return n == collective;
  if (sscanf(value, "%d:%ld", &of_rank, &n) != 2) fault(name, "=", value, ": expected rank:collective, or all:collective");
  return of_rank == rank && n == collective;
}

bool ncclComm::meet() {
  pthread_mutex_lock(&meeting->mutex);
  const uint64_t round = meeting->round;
  if (++meeting->here == size) {
    meeting->here = 0;
    ++meeting->round;
    pthread_cond_broadcast(&meeting->all_here);
  }
  while (meeting->round == round && !aborted) {
    timespec until;  // aborted is this process's own, and wakes nobody
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 20'000'000;
    until.tv_sec += until.tv_nsec / 1'000'000'000;
    until.tv_nsec %= 1'000'000'000;
    pthread_cond_timedwait(&meeting->all_here, &meeting->mutex, &until);
  }
  pthread_mutex_unlock(&meeting->mutex);
  return !aborted;
}

bool ncclComm::begin() {
  std::this_thread::sleep_for(std::chrono::microseconds(setting("STANDIN_NCCL_DELAY_US", 0)));
  const bool fails = is_set("STANDIN_NCCL_ERROR", begun), hangs = is_set("STANDIN_NCCL_HANG", begun);
  ++begun;
  if (fails) error = ncclRemoteError;
  while ((fails || hangs) && !aborted) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  return !aborted;
}

namespace {

size_t size_of(ncclDataType_t type) {
  switch (type) {
    case ncclInt8:
    case ncclUint8:
      return 1;
    case ncclFloat16:
    case ncclBfloat16:
      return 2;
    case ncclInt32:
    case ncclUint32:
    case ncclFloat32:
      return 4;
    case ncclInt64:
    case ncclUint64:
    case ncclFloat64:
      return 8;
    default:
      return 0;
  }
}

// What a rank brings to a collective and takes from it. Rank r brings `in`; `parts` ranges of `bytes` each come together.
struct Collective {
  const char* name;
  const void* in;  // device addresses
  void* out;
  size_t in_bytes, out_bytes;
  // In rounds over [0, bytes): brings [begin, begin + length) of its input for the round to its chunk, then makes output of all chunks.
  size_t bytes;
  std::function<void(const ncclComm&, size_t begin, size_t length)> bring, take;
};

void run(ncclComm& comm, const Collective& collective) {
  if (!comm.begin()) return;
  for (size_t begin = 0; begin < collective.bytes; begin += kChunk) {
    const size_t length = std::min(kChunk, collective.bytes - begin);
    collective.bring(comm, begin, length);
    if (!comm.meet()) return;
    collective.take(comm, begin, length);
    if (!comm.meet()) return;
  }
}

ncclResult_t start(ncclComm* comm, Collective collective, cudaStream_t stream) {
  if (!comm || comm->aborted) return ncclInvalidArgument;
  for (const void* p : {collective.in, static_cast<const void*>(collective.out)}) {
    if (collective.bytes == 0 || is_device(p)) continue;
    fprintf(stderr, "stand-in NCCL: %s of host memory\n", collective.name);
    return ncclInvalidArgument;
  }
  while (comm->is_set("STANDIN_NCCL_STALL", comm->started)) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  ++comm->started;
  count("collectives", collective.name);
  count("bytes_collective", collective.name, static_cast<long>(collective.bytes));
  enqueue(stream, collective.name, {{collective.in, collective.in_bytes, false}, {collective.out, collective.out_bytes, true}},
          [comm, collective = std::move(collective)] { run(*comm, collective); });
  return ncclSuccess;
}

const unsigned char* bytes_at(const void* device, size_t offset) { return static_cast<unsigned char*>(shadow(device)) + offset; }
unsigned char* bytes_at(void* device, size_t offset) { return static_cast<unsigned char*>(shadow(device)) + offset; }

// to[0, length) = the sum of all ranks' chunks.
void add_chunks(const ncclComm& comm, unsigned char* to, size_t length) {
  auto* const sums = reinterpret_cast<float*>(to);
  for (size_t i = 0; i < length / sizeof(float); ++i) {
    float sum = 0;
    for (int rank = 0; rank < comm.size; ++rank) sum += reinterpret_cast<const float*>(comm.chunk(rank))[i];
    sums[i] = sum;
  }
}

}  // namespace

extern "C" {

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    case ncclInvalidArgument:
      return "invalid argument";
    default:
      return "unhandled error of the stand-in for NCCL";
  }
}
const char* ncclGetLastError(ncclComm_t) { return "stand-in NCCL"; }
ncclResult_t ncclGetVersion(int* version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  static std::atomic<int> made{0};
  *id = {};
  snprintf(id->internal, sizeof id->internal, "/berth-standin-%d-%d-%lld", getpid(), made++,
           static_cast<long long>(std::chrono::system_clock::now().time_since_epoch().count()));
  return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t* out, int size, ncclUniqueId id, int rank) {
  if (rank < 0 || rank >= size) return ncclInvalidArgument;
  const size_t bytes = kHeader + size * kChunk;
  const int file = shm_open(id.internal, O_CREAT | O_RDWR, 0600);
  if (file < 0 || ftruncate(file, static_cast<off_t>(bytes)) != 0) return ncclSystemError;
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (memory == MAP_FAILED) return ncclSystemError;
  auto* const comm = new ncclComm;
  comm->rank = rank;
  comm->size = size;
  cudaGetDevice(&comm->device);
  comm->meeting = static_cast<Meeting*>(memory);
  if (rank == 0) make(*comm->meeting);
  ++comm->meeting->joined;
  while (comm->meeting->joined < size || !comm->meeting->made) std::this_thread::sleep_for(std::chrono::microseconds(100));
  if (rank == 0) shm_unlink(id.internal);
  *out = comm;
  return ncclSuccess;
}
ncclResult_t ncclCommInitRankConfig(ncclComm_t* out, int size, ncclUniqueId id, int rank, ncclConfig_t*) {
  return ncclCommInitRank(out, size, id, rank);
}
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  *error = comm->error;
  return ncclSuccess;
}
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  comm->aborted = true;
  return ncclSuccess;
}
ncclResult_t ncclCommDestroy(ncclComm_t) { return ncclSuccess; }  // kept: a stream may still hold its collectives
ncclResult_t ncclGroupStart() { return ncclSuccess; }             // collectives are asynchronous here in any case
ncclResult_t ncclGroupEnd() { return ncclSuccess; }

ncclResult_t ncclAllReduce(const void* in, void* out, size_t count, ncclDataType_t type, ncclRedOp_t operation, ncclComm_t comm,
                           cudaStream_t stream) {
  if (type != ncclFloat32 || operation != ncclSum) return ncclInvalidArgument;
  const size_t bytes = count * sizeof(float);
  return start(comm,
               {"ncclAllReduce", in, out, bytes, bytes, bytes,
                [in](const ncclComm& c, size_t begin, size_t length) { memcpy(c.chunk(c.rank), bytes_at(in, begin), length); },
                [out](const ncclComm& c, size_t begin, size_t length) { add_chunks(c, bytes_at(out, begin), length); }},
               stream);
}

// Of the `size` parts of the input, the rank's own is summed into the output.
ncclResult_t ncclReduceScatter(const void* in, void* out, size_t count, ncclDataType_t type, ncclRedOp_t operation,
                               ncclComm_t comm, cudaStream_t stream) {
  if (!comm || type != ncclFloat32 || operation != ncclSum) return ncclInvalidArgument;
  const size_t part = count * sizeof(float), all = part * comm->size;
  return start(comm,
               {"ncclReduceScatter", in, out, all, part, all,
                [in](const ncclComm& c, size_t begin, size_t length) { memcpy(c.chunk(c.rank), bytes_at(in, begin), length); },
                [out, part](const ncclComm& c, size_t begin, size_t length) {
                  // What of this round is the rank's own.
                  const size_t from = std::max(begin, part * c.rank), to = std::min(begin + length, part * (c.rank + 1));
                  for (size_t at = from; at < to; at += sizeof(float)) {
                    float sum = 0, value;
                    for (int rank = 0; rank < c.size; ++rank) {
                      memcpy(&value, c.chunk(rank) + (at - begin), sizeof value);
                      sum += value;
                    }
                    memcpy(bytes_at(out, at - part * c.rank), &sum, sizeof sum);
                  }
                }},
               stream);
}

ncclResult_t ncclAllGather(const void* in, void* out, size_t count, ncclDataType_t type, ncclComm_t comm, cudaStream_t stream) {
  const size_t part = count * size_of(type);
  if (!comm || size_of(type) == 0) return ncclInvalidArgument;
  return start(comm,
               {"ncclAllGather", in, out, part, part * comm->size, part,
                [in](const ncclComm& c, size_t begin, size_t length) { memcpy(c.chunk(c.rank), bytes_at(in, begin), length); },
                [out, part](const ncclComm& c, size_t begin, size_t length) {
                  for (int rank = 0; rank < c.size; ++rank) memcpy(bytes_at(out, part * rank + begin), c.chunk(rank), length);
                }},
               stream);
}

ncclResult_t ncclBroadcast(const void* in, void* out, size_t count, ncclDataType_t type, int root, ncclComm_t comm,
                           cudaStream_t stream) {
  const size_t bytes = count * size_of(type);
  if (!comm || size_of(type) == 0 || root < 0 || root >= comm->size) return ncclInvalidArgument;
  return start(
      comm,
      {"ncclBroadcast", comm->rank == root ? in : out, out, comm->rank == root ? bytes : 0, bytes, bytes,
       [in, root](const ncclComm& c, size_t begin, size_t length) {
         if (c.rank == root) memcpy(c.chunk(root), bytes_at(in, begin), length);
       },
       [out, root](const ncclComm& c, size_t begin, size_t length) { memcpy(bytes_at(out, begin), c.chunk(root), length); }},
      stream);
}

}  // extern "C"
