// How ranks talk: the only interface to MPI and NCCL that the rest of berth sees. No MPI or NCCL type appears here; what can be
// had is chosen at link time (mpi/mpi_communicator.cc for CPU tensors; nccl/nccl_communicator.cc or nccl/nccl_unavailable.cc for CUDA tensors).
//
// Every rank must make the same calls in the same order. No rank decides by itself to leave one out. Failures of the transport
// end the job (abort): there is no way to go on with fewer ranks. Destructors make no collective.
//
// A collective that does not finish within CommOptions::timeout_seconds ends the job with exit code 1, naming the operation, the
// stage (set_stage) and the ranks that did not arrive.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

// Names only: this header compiles without libtorch, so that the launcher does.
namespace at {
class Tensor;
}
namespace c10 {
struct Device;
}

namespace berth::comm {

// A collective of tensors under way. Finished by Communicator::wait().
using Ticket = int64_t;

// The ranks whose tensors may be one: those of a host, or where these share no memory or have GPUs, a rank alone.
struct Sharers {
  int rank = 0;  // among them
  int size = 1;
  int most = 1;       // of all ranks': the largest size
  bool first = true;  // whether rank 0 of all is one of them
};

class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual int local_rank() const = 0;  // among the ranks that share this host's memory
  virtual int local_size() const = 0;
  virtual c10::Device device() const = 0;

  // A zeroed fp32 tensor [elements] on device(), aligned to 64 bytes, from which all-reduces are cheapest: other tensors may be
  // copied, blocking. Collective, `elements` alike on all ranks.
  virtual at::Tensor allocate(int64_t elements) = 0;

  virtual Sharers sharers() const { return {}; }
  // Zeroed uint8 [bytes] of the host's memory, aligned to 64 bytes, that the sharers have in common: what one writes the others see after
  // the next collective that all of them make. A page takes memory when it is first written to, near who does it. Where device() is the CPU,
  // what is broadcast from rank 0 may lie in it. Collective, `bytes` alike on all ranks.
  virtual at::Tensor allocate_shared(int64_t bytes) = 0;

  // Tensor collectives. `tensor` is contiguous fp32 on device(); the result replaces it and is bitwise the same on all ranks.
  // start returns at once where the backend can overlap; tickets finish in the order they were started. One thread at a time
  // calls these. On CUDA, start orders after the current stream's work and wait makes the current stream wait.
  virtual Ticket start_all_reduce(const at::Tensor& tensor) = 0;  // sum
  // The same, but of size() equal parts that a tensor [n] consists of only the rank()-th need be the sum afterwards, what is in the others
  // is nobody's business. n is a multiple of size().
  virtual Ticket start_reduce_scatter(const at::Tensor& tensor) { return start_all_reduce(tensor); }
  // The same, but sharer i needs only the elements from ends[i - 1] (the first one from 0) up to ends[i]. Alike on all ranks.
  virtual Ticket start_reduce_to_sharers(const at::Tensor& tensor, [[maybe_unused]] std::span<const int64_t> ends) {
    return start_all_reduce(tensor);
  }
  // Each rank brings the rank()-th of size() equal parts of a tensor [n], of any dtype, and gets the others.
  virtual Ticket start_all_gather(const at::Tensor& tensor) = 0;
  virtual void wait(Ticket ticket) = 0;
  virtual void broadcast(const at::Tensor& tensor, int root) = 0;  // any dtype

  // Host collectives, for small control data; blocking.
  virtual void all_reduce_sum(std::span<int64_t> values) = 0;
  virtual void all_reduce_sum(std::span<double> values) = 0;
  virtual void all_reduce_max(std::span<int64_t> values) = 0;
  virtual void all_reduce_or(std::span<uint64_t> words) = 0;
  virtual void broadcast(std::string& bytes, int root) = 0;  // resized on the other ranks
  // The bytes of every rank in rank order; gather: on the root only, elsewhere empty. Sizes may differ and exceed 2 GiB in total.
  virtual std::vector<std::string> gather(const std::string& bytes, int root) = 0;
  virtual std::vector<std::string> all_gather(const std::string& bytes) = 0;
  virtual void barrier() = 0;

  // Seconds that this rank's thread has spent in wait() and host collectives: for the other ranks, and while sums were made.
  virtual double seconds_waited() const { return 0; }
  // Seconds in which sums and gathers of tensors were under way on this rank, but those in which its thread waited for them.
  virtual double seconds_hidden() const { return 0; }

  // What this rank is doing, e.g. "step 120: backward": for the report on a collective that hangs.
  virtual void set_stage(const std::string& stage) = 0;
  // A collective begins that another communicator carries on behalf of this one (NCCL), so that the report knows who is behind.
  // `name` is a literal.
  virtual void count_collective(const char* name) = 0;
  // Ends all ranks with exit code 1 because `operation` hangs, after printing which ranks are behind this one and what they do.
  [[noreturn]] virtual void report_hang(const std::string& operation) = 0;
  // Ends all ranks with `code`. Never returns.
  [[noreturn]] virtual void abort(int code) = 0;

  // What computes: "cpu", or the GPU's model with the versions that its numbers depend on.
  virtual std::string device_name() const { return "cpu"; }
  // One line for the log: the transport, ranks and hosts, and whether reductions overlap with computing.
  virtual std::string description() const = 0;
};

struct CommOptions {
  int gpu = -1;                     // the GPU that holds this rank's tensors; -1: they are on the CPU
  double timeout_seconds = 1800;    // until a collective counts as hung (ddp_timeout)
  bool background = true;           // reduce while backward computes, where MPI's thread support allows it
  bool shared_memory = true;        // between ranks of one host
  int ranks_per_host = 0;           // > 0: behave as if hosts had this many ranks (for tests on one machine)
  int64_t message_bytes = 1 << 30;  // longer transfers are cut: MPI counts are 32-bit
};

// MPI must be initialised (launcher/mpi_session.h) and outlive it. Tensors are on the CPU.
std::unique_ptr<Communicator> make_mpi_communicator(const CommOptions& options);
// (For tensors on GPUs: trainer/gpu.)

// One process without MPI: for tools and tests that need no ranks.
std::unique_ptr<Communicator> make_local_communicator(int gpu = -1);

}  // namespace berth::comm
