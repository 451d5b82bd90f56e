// Communicator for CUDA tensors over NCCL; host collectives go to the communicator it is given.
//
// Reductions run on a stream of their own, ordered by events: they wait for what the caller's stream had computed when they were
// started, and wait() lets the caller's stream wait for them. The host blocks only in a kind of collective's first call, in which NCCL
// connects the ranks. A thread looks at what is under way: an error that NCCL or CUDA reports later, or a collective that takes longer
// than the time-out, ends the job.
//
// ncclCommDestroy synchronises with the other ranks, which a destructor must not do: as MPI's, NCCL's communicator lasts until
// the process ends.
#include "trainer/comm/nccl/nccl_communicator.h"

#include <ATen/cuda/CUDAContext.h>
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <dlfcn.h>
#include <nccl.h>

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <iostream>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "data/check.h"
#include "trainer/comm/gpu.h"
#include "trainer/comm/running_time.h"
#include "trainer/trace/range.h"

namespace berth::comm {
namespace {

void nccl_check(ncclResult_t result, const char* call) {
  const std::string name(call);
  check_internal(result == ncclSuccess, name.substr(0, name.find('(')), " failed: ", ncclGetErrorString(result), " (",
                 ncclGetLastError(nullptr), "); NCCL_DEBUG=INFO says more");
}
#define BERTH_NCCL(call) nccl_check((call), #call)

// The driver's own, e.g. 580.159.04; cudaDriverGetVersion only says which CUDA it can do.
std::string driver_version() {
  std::ifstream in("/proc/driver/nvidia/version");
  for (std::string word; in >> word;)
    if (word.size() > 3 && word.find_first_not_of("0123456789.") == std::string::npos && word.find('.') != std::string::npos)
      return word;
  return "unknown";
}

// Of the cuBLAS that libtorch has loaded; this room needs none of its headers.
std::string cublas_version() {
  const auto get = reinterpret_cast<size_t (*)()>(dlsym(RTLD_DEFAULT, "cublasLtGetVersion"));
  if (!get) return "";
  const size_t version = get();
  return concat(version / 10000, ".", version / 100 % 100, ".", version % 100);
}

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(std::unique_ptr<Communicator> host, const CommOptions& options);
  ~NcclCommunicator() override;

  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }
  int local_rank() const override { return host_->local_rank(); }
  int local_size() const override { return host_->local_size(); }
  at::Device device() const override { return device_; }

  at::Tensor allocate(int64_t elements) override { return at::zeros({elements}, at::TensorOptions(device_).dtype(at::kFloat)); }
  at::Tensor allocate_shared(int64_t bytes) override { return host_->allocate_shared(bytes); }
  Ticket start_all_reduce(const at::Tensor& tensor) override;
  Ticket start_reduce_scatter(const at::Tensor& tensor) override;
  Ticket start_all_gather(const at::Tensor& tensor) override;
  void wait(Ticket ticket) override;
  void broadcast(const at::Tensor& tensor, int root) override;

  void all_reduce_sum(std::span<int64_t> values) override { host_->all_reduce_sum(values); }
  void all_reduce_sum(std::span<double> values) override { host_->all_reduce_sum(values); }
  void all_reduce_max(std::span<int64_t> values) override { host_->all_reduce_max(values); }
  void all_reduce_or(std::span<uint64_t> words) override { host_->all_reduce_or(words); }
  void broadcast(std::string& bytes, int root) override { host_->broadcast(bytes, root); }
  std::vector<std::string> gather(const std::string& bytes, int root) override { return host_->gather(bytes, root); }
  std::vector<std::string> all_gather(const std::string& bytes) override { return host_->all_gather(bytes); }
  void barrier() override { host_->barrier(); }

  double seconds_waited() const override { return host_->seconds_waited(); }
  void set_stage(const std::string& stage) override { host_->set_stage(stage); }
  void count_collective(const char* name) override { host_->count_collective(name); }
  [[noreturn]] void report_hang(const std::string& operation) override {
    host_->report_hang(operation);
    std::abort();
  }
  [[noreturn]] void abort(int code) override {
    host_->abort(code);
    std::abort();
  }
  std::string device_name() const override;
  std::string description() const override;

 private:
  static constexpr auto kInterval = std::chrono::milliseconds(100);
  struct Job {
    Ticket ticket;
    const char* name;
    at::Tensor tensor;  // held until the stream is through with it
    at::cuda::CUDAEvent done;
    RunningTime::Clock::duration start;  // running_ when it was enqueued
  };

  // Elements of a part of the tensor.
  int64_t part_of(const at::Tensor& tensor) const;
  // Calls NCCL through `call(stream)` after what the current stream holds.
  template <class Call>
  Ticket enqueue(const char* name, const at::Tensor& tensor, const Call& call);
  void look_after_jobs();
  void end_what_hangs();
  void end_on_error();
  void stop_thread();

  std::unique_ptr<Communicator> host_;
  at::Device device_;
  double timeout_seconds_;
  c10::cuda::CUDAStream stream_;
  Ticket started_ = 0;

  std::mutex mutex_;           // guards what follows
  RunningTime running_;        // since the beginning, as the thread looks
  ncclComm_t comm_ = nullptr;  // null until NCCL has connected the ranks; then it stays
  std::condition_variable wake_;
  std::deque<Job> jobs_;  // in order; those that are done go from the front
  struct Entered {
    const char* name;
    RunningTime::Clock::duration start;
  };
  std::optional<Entered> call_;  // of NCCL, which has not returned yet
  bool stop_ = false;
  std::thread thread_;
};

NcclCommunicator::NcclCommunicator(std::unique_ptr<Communicator> host, const CommOptions& options)
    : host_(std::move(host)),
      device_(device_of(options.gpu)),
      timeout_seconds_(options.timeout_seconds),
      stream_(c10::cuda::getStreamFromPool(/*isHighPriority=*/true, device_.index())) {
  const c10::cuda::CUDAGuard guard(device_);
  ncclUniqueId id{};
  if (rank() == 0) BERTH_NCCL(ncclGetUniqueId(&id));
  std::string bytes(reinterpret_cast<const char*>(&id), sizeof id);
  host_->broadcast(bytes, 0);
  bytes.copy(reinterpret_cast<char*>(&id), sizeof id);
  thread_ = std::thread([this] { look_after_jobs(); });
  ncclComm_t comm = nullptr;
  const ncclResult_t result = ncclCommInitRank(&comm, size(), id, rank());
  if (result != ncclSuccess) stop_thread();
  nccl_check(result, "ncclCommInitRank");
  const std::lock_guard lock(mutex_);
  comm_ = comm;
}

NcclCommunicator::~NcclCommunicator() { stop_thread(); }

void NcclCommunicator::stop_thread() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

template <class Call>
Ticket NcclCommunicator::enqueue(const char* name, const at::Tensor& tensor, const Call& call) {
  check_internal(tensor.is_contiguous() && tensor.device() == device_, name, " needs a contiguous tensor on this rank's GPU");
  if (size() == 1) return started_++;  // all is there already
  count_collective(name);
  const c10::cuda::CUDAGuard guard(device_);
  at::cuda::CUDAEvent ready, done;
  ready.record(c10::cuda::getCurrentCUDAStream(device_.index()));
  ready.block(stream_);
  {
    const std::lock_guard lock(mutex_);
    call_ = {name, running_.elapsed()};
  }
  {
    const c10::cuda::CUDAStreamGuard on_stream(stream_);
    const trace::Range range(name, static_cast<int64_t>(tensor.nbytes()));
    try {
      call(stream_.stream());
    } catch (...) {
      const std::lock_guard lock(mutex_);
      call_.reset();
      throw;
    }
  }
  done.record(stream_);
  const std::lock_guard lock(mutex_);
  call_.reset();
  jobs_.push_back({started_, name, tensor, std::move(done), running_.elapsed()});
  return started_++;
}

Ticket NcclCommunicator::start_all_reduce(const at::Tensor& tensor) {
  check_internal(tensor.scalar_type() == at::kFloat, "all-reduce needs an fp32 tensor");
  return enqueue("all-reduce of gradients", tensor, [&](cudaStream_t stream) {
    float* data = tensor.data_ptr<float>();
    BERTH_NCCL(ncclAllReduce(data, data, tensor.numel(), ncclFloat, ncclSum, comm_, stream));
  });
}

int64_t NcclCommunicator::part_of(const at::Tensor& tensor) const {
  check_internal(tensor.numel() % size() == 0, tensor.numel(), " elements are no parts for ", size(), " ranks");
  return tensor.numel() / size();
}

Ticket NcclCommunicator::start_reduce_scatter(const at::Tensor& tensor) {
  check_internal(tensor.scalar_type() == at::kFloat, "reduce-scatter needs an fp32 tensor");
  return enqueue("reduce-scatter of gradients", tensor, [&](cudaStream_t stream) {
    float* data = tensor.data_ptr<float>();
    const int64_t part = part_of(tensor);
    BERTH_NCCL(ncclReduceScatter(data, data + rank() * part, part, ncclFloat, ncclSum, comm_, stream));
  });
}

Ticket NcclCommunicator::start_all_gather(const at::Tensor& tensor) {
  return enqueue("all-gather", tensor, [&](cudaStream_t stream) {
    auto* const data = static_cast<char*>(tensor.data_ptr());
    const int64_t part = part_of(tensor) * tensor.element_size();
    BERTH_NCCL(ncclAllGather(data + rank() * part, data, part, ncclChar, comm_, stream));
  });
}

void NcclCommunicator::broadcast(const at::Tensor& tensor, int root) {
  wait(enqueue("broadcast", tensor, [&](cudaStream_t stream) {
    BERTH_NCCL(ncclBroadcast(tensor.data_ptr(), tensor.data_ptr(), tensor.nbytes(), ncclChar, root, comm_, stream));
  }));
}

void NcclCommunicator::wait(Ticket ticket) {
  const c10::cuda::CUDAGuard guard(device_);
  const std::lock_guard lock(mutex_);
  for (Job& job : jobs_) {
    if (job.ticket == ticket) job.done.block(c10::cuda::getCurrentCUDAStream(device_.index()));
  }
}

void NcclCommunicator::look_after_jobs() {
  std::unique_lock lock(mutex_);
  try {
    const c10::cuda::CUDAGuard guard(device_);
    while (!wake_.wait_for(lock, kInterval, [this] { return stop_; })) {
      running_.look();
      while (!jobs_.empty() && jobs_.front().done.query()) jobs_.pop_front();
      end_on_error();
      end_what_hangs();
    }
  } catch (const c10::Error& error) {  // of CUDA, which a fault of the device gives to whatever is asked
    std::cerr << concat("berth: rank ", rank(), ", GPU ", device_.index(), ": ", error.what_without_backtrace(), "\n")
              << std::flush;
    host_->abort(static_cast<int>(ExitCode::kInternal));
  }
}

void NcclCommunicator::end_what_hangs() {
  const auto hangs = [&](RunningTime::Clock::duration start) {
    return std::chrono::duration<double>(running_.elapsed() - start).count() > timeout_seconds_;
  };
  if (!comm_ && hangs({})) host_->report_hang("NCCL to connect the ranks");
  if (!jobs_.empty() && hangs(jobs_.front().start)) host_->report_hang(concat(jobs_.front().name, " (NCCL)"));
  // A little later, for ranks whose calls have returned to tell first that this one is behind.
  if (call_ && hangs(call_->start + std::chrono::seconds(2)))
    host_->report_hang(concat(call_->name, " (NCCL, which connects the ranks for it)"));
}

void NcclCommunicator::end_on_error() {
  if (!comm_) return;
  ncclResult_t state = ncclSuccess;
  const ncclResult_t asked = ncclCommGetAsyncError(comm_, &state);
  if (asked == ncclSuccess && (state == ncclSuccess || state == ncclInProgress)) return;
  std::cerr << concat("berth: NCCL failed on rank ", rank(), ": ", ncclGetErrorString(asked != ncclSuccess ? asked : state), " (",
                      ncclGetLastError(nullptr), "); NCCL_DEBUG=INFO says more\n")
            << std::flush;
  // Not ncclCommAbort before: with it kernels that are under way end with half of their sums, on which this rank would go on computing.
  host_->abort(static_cast<int>(ExitCode::kInternal));
}

std::string NcclCommunicator::device_name() const {
  int version = 0;
  BERTH_NCCL(ncclGetVersion(&version));
  std::string name = concat(at::cuda::getDeviceProperties(device_.index())->name, ", driver ", driver_version(), ", NCCL ",
                            version / 10000, ".", version / 100 % 100, ".", version % 100);
  if (const std::string cublas = cublas_version(); !cublas.empty()) name += ", cuBLAS " + cublas;
  return name;
}

std::string NcclCommunicator::description() const {
  const cudaDeviceProp* properties = at::cuda::getDeviceProperties(device_.index());
  std::string text = concat(device_name(), ", ", properties->totalGlobalMem >> 30, " GiB");
  if (const int gpus = at::cuda::device_count(); gpus > 1) {
    int directly = 0;
    cudaDeviceCanAccessPeer(&directly, device_.index(), device_.index() == 0 ? 1 : 0);
    text += concat(", the host's ", gpus, " GPUs reach each other ", directly ? "directly" : "through its memory");
  }
  return concat(text, "; gradients summed while backward computes; ", host_->description());
}

}  // namespace

std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<Communicator> host, const CommOptions& options) {
  c10::cuda::set_device(device_of(options.gpu).index());
  at::globalContext().lazyInitDevice(at::kCUDA);  // the allocator answers from now on
  return std::make_unique<NcclCommunicator>(std::move(host), options);
}

}  // namespace berth::comm
