#include "tests/gpu/thread_communicator.h"

#include <barrier>
#include <exception>
#include <iostream>
#include <numeric>
#include <thread>

#include "data/check.h"
#include "trainer/torch.h"

namespace berth::test {
namespace {

struct Meeting {
  explicit Meeting(int ranks) : slots(ranks), barrier(ranks) {}
  std::vector<std::string> slots;
  std::barrier<> barrier;
};

// Everything is an all-gather and something local.
class ThreadCommunicator final : public comm::Communicator {
 public:
  ThreadCommunicator(int rank, std::shared_ptr<Meeting> meeting) : rank_(rank), meeting_(std::move(meeting)) {}

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(meeting_->slots.size()); }
  int local_rank() const override { return rank_; }
  int local_size() const override { return size(); }
  at::Device device() const override { return at::kCPU; }
  at::Tensor allocate(int64_t elements) override { return at::zeros({elements}); }
  at::Tensor allocate_shared(int64_t bytes) override { return at::zeros({bytes}, at::kByte); }
  comm::Ticket start_all_reduce(const at::Tensor&) override { fail(ExitCode::kInternal, "host collectives only"); }
  void wait(comm::Ticket) override {}
  void broadcast(const at::Tensor&, int) override { fail(ExitCode::kInternal, "host collectives only"); }
  comm::Ticket start_all_gather(const at::Tensor&) override { fail(ExitCode::kInternal, "host collectives only"); }
  void all_reduce_sum(std::span<int64_t> values) override { reduce(values, std::plus<>()); }
  void all_reduce_sum(std::span<double> values) override { reduce(values, std::plus<>()); }
  void all_reduce_max(std::span<int64_t> values) override {
    reduce(values, [](int64_t a, int64_t b) { return std::max(a, b); });
  }
  void all_reduce_or(std::span<uint64_t> words) override { reduce(words, std::bit_or<>()); }
  void broadcast(std::string& bytes, int root) override { bytes = all_gather(bytes)[root]; }
  std::vector<std::string> gather(const std::string& bytes, int root) override {
    auto all = all_gather(bytes);
    return rank_ == root ? all : std::vector<std::string>();
  }
  std::vector<std::string> all_gather(const std::string& bytes) override {
    meeting_->slots[rank_] = bytes;
    meeting_->barrier.arrive_and_wait();
    std::vector<std::string> all = meeting_->slots;
    meeting_->barrier.arrive_and_wait();
    return all;
  }
  void barrier() override { meeting_->barrier.arrive_and_wait(); }
  void set_stage(const std::string&) override {}
  void count_collective(const char*) override {}
  [[noreturn]] void report_hang(const std::string& operation) override {
    std::cerr << "rank " << rank_ << " waits in vain for " << operation << std::endl;
    abort(1);
  }
  [[noreturn]] void abort(int code) override { std::_Exit(code); }
  std::string description() const override { return concat(size(), " threads"); }

 private:
  template <class T, class Operation>
  void reduce(std::span<T> values, const Operation& operation) {
    const auto all = all_gather(std::string(reinterpret_cast<const char*>(values.data()), values.size_bytes()));
    for (size_t i = 0; i < values.size(); ++i) {
      for (int r = 0; r < size(); ++r) {
        T value{};
        all[r].copy(reinterpret_cast<char*>(&value), sizeof value, i * sizeof value);
        values[i] = r == 0 ? value : operation(values[i], value);
      }
    }
  }

  int rank_;
  std::shared_ptr<Meeting> meeting_;
};

}  // namespace

void run_as_threads(int ranks, const std::function<void(std::unique_ptr<comm::Communicator>)>& body) {
  auto meeting = std::make_shared<Meeting>(ranks);
  std::vector<std::exception_ptr> errors(ranks);
  std::vector<std::thread> threads;
  for (int r = 0; r < ranks; ++r) {
    threads.emplace_back([&, r] {
      try {
        body(std::make_unique<ThreadCommunicator>(r, meeting));
      } catch (...) {
        errors[r] = std::current_exception();
        meeting->barrier.arrive_and_drop();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace berth::test
