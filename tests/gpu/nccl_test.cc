// NCCL on as many GPUs as there are, a thread for each. Without a GPU these tests fail: they are for machines that have one.
#include <ATen/cuda/CUDAContext.h>
#include <gtest/gtest.h>

#include "tests/gpu/thread_communicator.h"
#include "trainer/comm/nccl/nccl_communicator.h"
#include "trainer/optim/grad_reducer.h"

namespace berth::comm {
namespace {

// body(communicator) on each GPU.
void on_each_gpu(const std::function<void(Communicator&)>& body) {
  const int gpus = at::cuda::device_count();
  ASSERT_GT(gpus, 0) << "this machine shows no GPU";
  test::run_as_threads(gpus, [&](std::unique_ptr<Communicator> host) {
    CommOptions options;
    options.gpu = host->rank();
    options.timeout_seconds = 60;
    const auto comm = make_nccl_communicator(std::move(host), options);
    body(*comm);
  });
}

float rank_sum(const Communicator& comm) { return static_cast<float>(comm.size() * (comm.size() + 1) / 2); }

TEST(Nccl, SumsManyTensorsInFlight) {
  on_each_gpu([](Communicator& comm) {
    std::vector<at::Tensor> tensors;
    std::vector<Ticket> tickets;
    for (int64_t n : {1, 1000, 1 << 20, 0, 5'000'000}) {
      at::Tensor tensor = comm.allocate(n);
      EXPECT_EQ(tensor.abs().sum().item<float>(), 0.f);
      tensor.fill_(comm.rank() + 1);
      tensors.push_back(tensor);
      tickets.push_back(comm.start_all_reduce(tensor));
    }
    for (size_t i = 0; i < tensors.size(); ++i) {
      comm.wait(tickets[i]);
      EXPECT_TRUE((tensors[i] == rank_sum(comm)).all().item<bool>());
    }
  });
}

// The reduction must see what the caller's stream still computes, and the caller's stream the result, without a host
// synchronisation.
TEST(Nccl, OrdersAfterAndBeforeTheCurrentStream) {
  on_each_gpu([](Communicator& comm) {
    const int64_t n = 16 * at::cuda::getDeviceProperties(comm.device().index())->multiProcessorCount;  // a while, on any device
    at::Tensor big = at::ones({n, n}, at::TensorOptions(comm.device()));
    at::Tensor tensor = comm.allocate(1 << 20);
    for (int round = 0; round < 20; ++round) {
      at::Tensor product = big;
      for (int i = 0; i < 10; ++i) product = at::mm(product, big) / n;
      tensor.fill_(product[0][0] * (comm.rank() + 1));
      comm.wait(comm.start_all_reduce(tensor));
      EXPECT_TRUE((tensor * 2 == 2 * rank_sum(comm)).all().item<bool>());
    }
  });
}

TEST(Nccl, GivesAllRanksTheSameBits) {
  on_each_gpu([](Communicator& comm) {
    at::Tensor tensor = comm.allocate(300'001);
    tensor.copy_(at::sin(at::arange(tensor.numel(), tensor.options()) * 0.37 + comm.rank()) * 1000);
    comm.wait(comm.start_all_reduce(tensor));
    const at::Tensor host = tensor.cpu();
    const auto all = comm.all_gather(std::string(static_cast<const char*>(host.const_data_ptr()), host.nbytes()));
    for (const std::string& other : all) EXPECT_TRUE(other == all[0]);
  });
}

TEST(Nccl, BroadcastsAnyType) {
  on_each_gpu([](Communicator& comm) {
    for (const at::ScalarType type : {at::kFloat, at::kLong, at::kBFloat16, at::kBool}) {
      const at::Tensor wanted = at::arange(3000).remainder(7).to(comm.device(), type);
      at::Tensor tensor = comm.rank() == 0 ? wanted.clone() : at::zeros_like(wanted);
      comm.broadcast(tensor, 0);
      EXPECT_TRUE(at::equal(tensor, wanted));
    }
  });
}

TEST(Nccl, CarriesTheGradReducer) {
  on_each_gpu([](Communicator& comm) {
    const std::vector<train::ParameterSpec> specs = {{.name = "table", .shape = {100, 8}, .kind = train::GradKind::kRows},
                                                     {.name = "a", .shape = {50, 3}},
                                                     {.name = "b", .shape = {7}}};
    train::ParameterStore store(specs, comm, /*bucket_bytes=*/256);
    train::GradReducer reducer(store, comm);
    for (int step = 0; step < 3; ++step) {
      train::RowSet touched(reducer.table_rows(), std::vector<int32_t>{comm.rank(), 99});
      comm.all_reduce_or(touched.words());
      reducer.begin(touched);
      reducer.set_last(true);
      const at::Tensor rows = at::tensor({comm.rank(), 99}, at::kLong).to(comm.device());
      const at::Tensor loss = store["a"].value.sum() * (comm.rank() + 1) + store["b"].value.sum();
      loss.backward();
      {
        at::NoGradGuard no_grad;
        store["table"].grad.index_add_(0, rows, at::ones({2, 8}, store["table"].grad.options()));
      }
      store.announce_grad(store["table"].index);
      reducer.finish();
      EXPECT_TRUE((store["a"].grad == rank_sum(comm)).all().item<bool>());
      EXPECT_TRUE((store["b"].grad == static_cast<float>(comm.size())).all().item<bool>());
      EXPECT_EQ(store["table"].grad.sum().item<float>(), static_cast<float>(16 * comm.size()));
      EXPECT_EQ(store["table"].grad[99][0].item<float>(), static_cast<float>(comm.size()) + (comm.size() > 99));
    }
  });
}

}  // namespace
}  // namespace berth::comm
