// One process, no communication: what make_local_communicator makes, and what others do more with.
#pragma once

#include <cstdlib>
#include <iostream>

#include "trainer/comm/communicator.h"
#include "trainer/torch.h"

namespace berth::comm {

// What Communicator::allocate_shared() gives a rank that shares with none.
at::Tensor allocate_pages(int64_t bytes);

class LocalCommunicator : public Communicator {
 public:
  explicit LocalCommunicator(at::Device device) : device_(device) {}
  int rank() const override { return 0; }
  int size() const override { return 1; }
  int local_rank() const override { return 0; }
  int local_size() const override { return 1; }
  at::Device device() const override { return device_; }
  at::Tensor allocate(int64_t elements) override { return at::zeros({elements}, at::TensorOptions(device_).dtype(at::kFloat)); }
  at::Tensor allocate_shared(int64_t bytes) override { return allocate_pages(bytes); }
  Ticket start_all_reduce(const at::Tensor&) override { return 0; }
  Ticket start_all_gather(const at::Tensor&) override { return 0; }
  void wait(Ticket) override {}
  void broadcast(const at::Tensor&, int) override {}
  void all_reduce_sum(std::span<int64_t>) override {}
  void all_reduce_sum(std::span<double>) override {}
  void all_reduce_max(std::span<int64_t>) override {}
  void all_reduce_or(std::span<uint64_t>) override {}
  void broadcast(std::string&, int) override {}
  std::vector<std::string> gather(const std::string& bytes, int) override { return {bytes}; }
  std::vector<std::string> all_gather(const std::string& bytes) override { return {bytes}; }
  void barrier() override {}
  void set_stage(const std::string& stage) override { stage_ = stage; }
  void count_collective(const char*) override {}
  [[noreturn]] void report_hang(const std::string& operation) override {
    std::cerr << "berth: " << operation << " hangs (" << stage_ << ")" << std::endl;
    std::_Exit(1);
  }
  [[noreturn]] void abort(int code) override { std::_Exit(code); }
  std::string description() const override { return "one process, no communication"; }

 private:
  at::Device device_;
  std::string stage_;
};

}  // namespace berth::comm
