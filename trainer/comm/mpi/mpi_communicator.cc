// Communicator for CPU tensors over MPI.
//
// All-reduce: the ranks of a host sum in shared memory (SharedSum); with several hosts, into the first rank's tensor, from which
// the hosts' first ranks sum (BetweenHosts), and which the others then copy. Where memory can't be shared each rank counts as a host
// of its own. MPI requires identical results on all ranks (MPI-3.1, 5.9.6), and the rest is computed once per element, so all
// ranks end up with the same bits. Where the ranks of a host need a part each, no other elements are stored or copied for them.
//
// One thread makes the reductions in the order in which they were started, while backward computes. It never spins for long. With
// several hosts it calls MPI, so without MPI_THREAD_MULTIPLE the reductions are made by wait() instead.
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <iterator>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "data/check.h"
#include "data/files/failpoint.h"
#include "data/words.h"
#include "trainer/comm/communicator.h"
#include "trainer/comm/local_communicator.h"
#include "trainer/comm/mpi/between_hosts.h"
#include "trainer/comm/mpi/mpi_check.h"
#include "trainer/comm/mpi/mpi_group.h"
#include "trainer/comm/mpi/mpi_host.h"
#include "trainer/comm/mpi/mpi_library.h"
#include "trainer/comm/mpi/watch.h"
#include "trainer/comm/shared/shared_memory.h"
#include "trainer/comm/shared/shared_sum.h"
#include "trainer/torch.h"
#include "trainer/trace/range.h"
#include "trainer/trace/recording.h"

namespace berth::comm {
namespace {

constexpr int64_t kStagingElements = 1 << 18;
constexpr auto kLook = std::chrono::milliseconds(100);
// So long a rank that has nothing else to do waits for other hosts without sleeping: a sleeper takes less off the network at a time.
constexpr auto kHurry = std::chrono::milliseconds(50);
using Clock = std::chrono::steady_clock;

struct Cancelled {};

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(const CommOptions& options, int group);
  ~MpiCommunicator() override;

  int rank() const override { return host_.rank(); }
  int size() const override { return host_.size(); }
  int local_rank() const override { return host_.local_rank(); }
  int local_size() const override { return host_.local_size(); }
  at::Device device() const override { return at::kCPU; }

  at::Tensor allocate(int64_t elements) override;
  Sharers sharers() const override { return sharers_; }
  at::Tensor allocate_shared(int64_t bytes) override;
  Ticket start_all_reduce(const at::Tensor& tensor) override { return start_reduce_to_sharers(tensor, {}); }
  Ticket start_reduce_to_sharers(const at::Tensor& tensor, std::span<const int64_t> ends) override;
  Ticket start_reduce_scatter(const at::Tensor& tensor) override;
  Ticket start_all_gather(const at::Tensor& tensor) override;
  void wait(Ticket ticket) override;
  void broadcast(const at::Tensor& tensor, int root) override;

  void all_reduce_sum(std::span<int64_t> v) override { host_.all_reduce(v.data(), v.size(), MPI_INT64_T, MPI_SUM); }
  void all_reduce_sum(std::span<double> v) override { host_.all_reduce(v.data(), v.size(), MPI_DOUBLE, MPI_SUM); }
  void all_reduce_max(std::span<int64_t> v) override { host_.all_reduce(v.data(), v.size(), MPI_INT64_T, MPI_MAX); }
  void all_reduce_or(std::span<uint64_t> v) override { host_.all_reduce(v.data(), v.size(), MPI_UINT64_T, MPI_BOR); }
  void broadcast(std::string& bytes, int root) override { host_.broadcast(bytes, root); }
  std::vector<std::string> gather(const std::string& bytes, int root) override { return host_.gather(bytes, root); }
  std::vector<std::string> all_gather(const std::string& bytes) override { return host_.all_gather(bytes); }
  void barrier() override { host_.barrier(); }

  double seconds_waited() const override { return host_.seconds_waited(); }
  double seconds_hidden() const override { return std::max(0.0, seconds_working_ - seconds_exposed_); }
  void set_stage(const std::string& stage) override { host_.roll_call().set_stage(stage); }
  void count_collective(const char* name) override { host_.roll_call().enter(name); }
  [[noreturn]] void report_hang(const std::string& operation) override { host_.report_hang(operation); }
  [[noreturn]] void abort(int code) override { host_.abort(code); }
  std::string description() const override;

 private:
  enum class What {
    kSum,
    kSumOfHalves,  // of two ranks each needs its half alone
    kGather        // each rank is a node
  };
  struct Job {
    Ticket ticket;
    What what;
    at::Tensor tensor;
    SharedSum::Tensors shared;  // sums with shared memory: `tensor` on all ranks of the host
  };
  static const char* name_of(What what) { return what == What::kGather ? "all-gather" : "all-reduce of gradients"; }

  // The tensor's counterparts on the host's ranks; no peers if it does not lie in an allocation.
  SharedSum::Tensors find_shared(const at::Tensor& tensor) const;
  // Whether the tensor lies in what allocate_shared() has given.
  bool is_shared(const at::Tensor& tensor) const;
  Ticket start(const at::Tensor& tensor, SharedSum::Tensors shared, What what = What::kSum);
  void reduce_staged(const at::Tensor& tensor);
  void run(const Job& job, Watch& watch);
  void sum(const Job& job, const BetweenHosts::Pause& pause, const BetweenHosts::Pause& hurry);
  void pause(Watch& watch) const;
  void work();

  CommOptions options_;
  MpiHost host_;
  SharedMemory memory_;
  SharedSegment control_;              // of shared_
  std::unique_ptr<SharedSum> shared_;  // null: each rank counts as a host of its own
  int node_rank_ = 0;                  // within shared_
  int nodes_ = 1;
  Sharers sharers_;
  MPI_Comm first_ranks_ = MPI_COMM_NULL;  // of each node
  bool background_ = false;
  std::map<const float*, std::weak_ptr<SharedMemory::Allocation>> allocations_;  // by the address of this rank's part
  // Of all ranks of the host in common.
  struct Common {
    std::weak_ptr<SharedSegment> segment;
    const std::byte* end;
  };
  std::map<const std::byte*, Common> common_;  // by address
  at::Tensor staging_;
  std::optional<BetweenHosts> between_hosts_;
  Ticket started_ = 0;  // jobs
  double seconds_exposed_ = 0;

  std::mutex mutex_;  // guards what follows
  std::condition_variable wake_;
  std::condition_variable done_;
  std::deque<Job> jobs_;
  Ticket finished_ = 0;  // jobs
  std::exception_ptr error_;
  std::atomic<bool> stop_{false};
  std::atomic<Clock::time_point> hurry_until_{};  // the thread beside this one gives way, but does not sleep
  std::atomic<double> seconds_working_{0};
  std::thread thread_;
};

MpiCommunicator::MpiCommunicator(const CommOptions& options, int group)
    : options_(options), host_(options, group), memory_(local_rank(), local_size(), [this](const std::string& bytes) {
        return host_.all_gather(bytes, host_.local_comm());
      }) {
  if (size() == 1) return;
  int64_t usable = options_.shared_memory;
  if (usable) {
    control_ = memory_.of_first_rank(SharedSum::control_bytes(local_size()));
    usable = control_.data() != nullptr;
  }
  host_.all_reduce(&usable, 1, MPI_INT64_T, MPI_MIN);
  if (usable) shared_ = std::make_unique<SharedSum>(local_rank(), local_size(), control_.data());
  node_rank_ = shared_ ? local_rank() : 0;
  nodes_ = shared_ ? host_.hosts() : size();
  sharers_.first = rank() == 0;
  if (shared_) {
    const auto ranks = host_.all_gather(std::to_string(rank()), host_.local_comm());
    sharers_ = {.rank = local_rank(), .size = local_size(), .first = std::find(ranks.begin(), ranks.end(), "0") != ranks.end()};
    int64_t most = local_size();
    host_.all_reduce(&most, 1, MPI_INT64_T, MPI_MAX);
    sharers_.most = static_cast<int>(most);
  }
  first_ranks_ = host_.split(node_rank_ == 0 ? 0 : MPI_UNDEFINED);
  between_hosts_.emplace(first_ranks_, nodes_, options_.message_bytes);
  background_ = options_.background && (nodes_ == 1 || host_.threads());
  if (shared_) staging_ = allocate(kStagingElements);
  if (background_) thread_ = std::thread([this] { work(); });
}

MpiCommunicator::~MpiCommunicator() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

at::Tensor MpiCommunicator::allocate(int64_t elements) {
  if (!shared_) return at::zeros({elements}, at::kFloat);
  std::erase_if(allocations_, [](const auto& entry) { return entry.second.expired(); });
  auto allocation = memory_.allocate(elements);
  float* data = allocation->tensors.peers[node_rank_];
  allocations_[data] = allocation;
  return at::from_blob(
      data, {elements}, [allocation](void*) {}, at::kFloat);
}

SharedSum::Tensors MpiCommunicator::find_shared(const at::Tensor& tensor) const {
  const float* data = tensor.const_data_ptr<float>();
  auto entry = allocations_.upper_bound(data);
  if (entry == allocations_.begin()) return {};
  --entry;
  const auto allocation = entry->second.lock();
  const int64_t offset = data - entry->first;
  if (!allocation || offset + tensor.numel() > allocation->tensors.elements) return {};
  SharedSum::Tensors part{.peers = allocation->tensors.peers, .elements = tensor.numel()};
  for (float*& peer : part.peers) peer += offset;
  return part;
}

at::Tensor MpiCommunicator::allocate_shared(int64_t bytes) {
  if (!shared_) return allocate_pages(bytes);
  auto segment = std::make_shared<SharedSegment>(memory_.of_first_rank(static_cast<size_t>(std::max<int64_t>(bytes, 1))));
  check_internal(segment->data() != nullptr, "cannot share ", bytes, " bytes of memory between the ranks of this host");
  std::erase_if(common_, [](const auto& entry) { return entry.second.segment.expired(); });
  common_[segment->data()] = {segment, segment->data() + bytes};
  data::failpoint("share");
  return at::from_blob(
      segment->data(), {bytes}, [segment](void*) {}, at::kByte);
}

bool MpiCommunicator::is_shared(const at::Tensor& tensor) const {
  const auto* data = static_cast<const std::byte*>(tensor.const_data_ptr());
  const auto entry = common_.upper_bound(data);
  if (entry == common_.begin()) return false;
  const Common& before = std::prev(entry)->second;
  return data < before.end && !before.segment.expired();
}

void MpiCommunicator::broadcast(const at::Tensor& tensor, int root) {
  check_internal(tensor.is_contiguous() && tensor.is_cpu(), "broadcast needs a contiguous CPU tensor");
  if (!is_shared(tensor)) return host_.broadcast(tensor.data_ptr(), tensor.nbytes(), root);
  check_internal(root == 0, "what the ranks of a host have in common is broadcast from rank 0 only");
  host_.broadcast(tensor.data_ptr(), tensor.nbytes(), 0, first_ranks_);
  host_.barrier();
}

Ticket MpiCommunicator::start_reduce_to_sharers(const at::Tensor& tensor, std::span<const int64_t> ends) {
  check_internal(tensor.is_contiguous() && tensor.is_cpu() && tensor.scalar_type() == at::kFloat,
                 "all-reduce needs a contiguous fp32 CPU tensor");
  if (size() == 1) return 0;
  if (!shared_) return start(tensor, {});
  SharedSum::Tensors shared = find_shared(tensor);
  shared.ends.assign(ends.begin(), ends.end());
  if (!shared.peers.empty()) return start(tensor, std::move(shared));
  reduce_staged(tensor);
  return started_ - 1;
}

Ticket MpiCommunicator::start_reduce_scatter(const at::Tensor& tensor) {
  const bool in_halves = nodes_ == 2 && size() == 2 && tensor.numel() <= between_hosts_->most();
  return in_halves ? start(tensor, shared_ ? find_shared(tensor) : SharedSum::Tensors(), What::kSumOfHalves)
                   : start_all_reduce(tensor);
}

Ticket MpiCommunicator::start_all_gather(const at::Tensor& tensor) {
  check_internal(tensor.is_contiguous() && tensor.is_cpu() && tensor.numel() % size() == 0,
                 "all-gather needs a contiguous CPU tensor, in equal parts");
  if (nodes_ == size() && size() > 1) return start(tensor, {}, What::kGather);
  const size_t part = tensor.nbytes() / static_cast<size_t>(size());
  for (int root = 0; root < size(); ++root)
    host_.broadcast(static_cast<std::byte*>(tensor.data_ptr()) + static_cast<size_t>(root) * part, part, root);
  return started_ - 1;
}

void MpiCommunicator::reduce_staged(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.view({-1});
  for (int64_t at = 0; at < flat.numel(); at += kStagingElements) {
    at::Tensor piece = flat.slice(0, at, std::min(at + kStagingElements, flat.numel()));
    at::Tensor staged = staging_.slice(0, 0, piece.numel());
    staged.copy_(piece);
    wait(start(staged, find_shared(staged)));
    piece.copy_(staged);
  }
}

Ticket MpiCommunicator::start(const at::Tensor& tensor, SharedSum::Tensors shared, What what) {
  host_.roll_call().enter(name_of(what));
  const Ticket ticket = started_++;
  if (shared_) shared_->announce(ticket);
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back({ticket, what, tensor, std::move(shared)});
  }
  wake_.notify_one();
  return ticket;
}

void MpiCommunicator::wait(Ticket ticket) {
  if (size() == 1) return;
  if (!background_) {
    while (finished_ <= ticket && !jobs_.empty()) {
      Watch watch(host_, name_of(jobs_.front().what), /*calls_mpi=*/true, options_.timeout_seconds);
      run(jobs_.front(), watch);
      jobs_.pop_front();
      ++finished_;
      host_.waited(watch.seconds());
    }
    return;
  }
  const trace::Range range("wait");
  std::unique_lock lock(mutex_);
  const What what = finished_ > ticket ? What::kSum : jobs_[static_cast<size_t>(ticket - finished_)].what;
  Watch watch(host_, name_of(what), /*calls_mpi=*/true, options_.timeout_seconds);
  hurry_until_ = Clock::now() + kHurry;
  while (finished_ <= ticket && !error_) {
    done_.wait_for(lock, kLook, [&] { return finished_ > ticket || error_; });
    lock.unlock();
    watch.look();
    lock.lock();
  }
  hurry_until_ = Clock::time_point();
  if (error_) std::rethrow_exception(error_);
  const double seconds = watch.seconds();
  seconds_exposed_ += seconds;
  host_.waited(seconds);
}

void MpiCommunicator::work() {
  trace::name_thread("communication");
  try {
    std::unique_lock lock(mutex_);
    while (!stop_) {
      Watch idle(host_, "", /*calls_mpi=*/host_.threads(), 0);  // wait() has an eye on the clock
      while (!wake_.wait_for(lock, kLook, [this] { return !jobs_.empty() || stop_; })) {
        lock.unlock();
        idle.look();
        lock.lock();
      }
      if (stop_) return;
      const Job job = jobs_.front();
      lock.unlock();
      Watch watch(host_, "", /*calls_mpi=*/host_.threads(), 0);
      run(job, watch);
      seconds_working_ += watch.seconds();
      lock.lock();
      jobs_.pop_front();
      ++finished_;
      done_.notify_all();
    }
  } catch (const Cancelled&) {
  } catch (...) {
    const std::lock_guard lock(mutex_);
    error_ = std::current_exception();
    done_.notify_all();
  }
}

void MpiCommunicator::pause(Watch& watch) const {
  if (stop_) throw Cancelled();
  watch.pause();
}

void MpiCommunicator::run(const Job& job, Watch& watch) {
  const trace::Range range(name_of(job.what), static_cast<int64_t>(job.tensor.nbytes()));
  const auto wait = [&] { pause(watch); };
  const auto hurry = [&] {
    if (stop_ || Clock::now() >= hurry_until_.load()) return pause(watch);
    sched_yield();
    watch.look();
  };
  if (job.what != What::kGather) return sum(job, wait, hurry);
  between_hosts_->gather(job.tensor.data_ptr(), static_cast<int64_t>(job.tensor.nbytes()) / size(), hurry);
}

void MpiCommunicator::sum(const Job& job, const BetweenHosts::Pause& pause, const BetweenHosts::Pause& hurry) {
  if (shared_) shared_->sum(job.ticket, job.shared, /*to_first_only=*/nodes_ > 1, pause);
  if (nodes_ == 1) return;
  if (node_rank_ == 0) between_hosts_->sum(job.tensor, job.what == What::kSumOfHalves, hurry);
  if (!shared_) return;
  if (node_rank_ == 0) {
    shared_->publish_result(job.ticket);
    shared_->await_all_fetched(job.ticket, pause);
  } else {
    shared_->await_result(job.ticket, pause);
    const auto own = static_cast<size_t>(node_rank_);
    const std::vector<int64_t>& ends = job.shared.ends;
    const int64_t begin = ends.empty() ? 0 : ends[own - 1], end = ends.empty() ? job.tensor.numel() : ends[own];
    std::copy(job.shared.peers[0] + begin, job.shared.peers[0] + end, job.tensor.data_ptr<float>() + begin);
    shared_->confirm_fetched(job.ticket);
  }
}

std::string MpiCommunicator::description() const {
  std::string text = concat(mpi_library().running, ", ", counted(size(), "rank"), " on ", counted(host_.hosts(), "host"));
  if (size() == 1) return text;
  text += shared_ ? ", gradients summed in shared memory" : ", no shared memory";
  if (background_) return text + ", while backward computes";
  return text + (host_.threads() ? ", after backward" : ", after backward because MPI does not provide MPI_THREAD_MULTIPLE");
}

}  // namespace

std::unique_ptr<Communicator> make_mpi_communicator(const CommOptions& options) {
  return std::make_unique<MpiCommunicator>(options, -1);
}

std::unique_ptr<Communicator> make_mpi_group(const CommOptions& options, int group) {
  check_internal(group >= 0, "a group of ranks needs a number");
  return std::make_unique<MpiCommunicator>(options, group);
}

}  // namespace berth::comm
