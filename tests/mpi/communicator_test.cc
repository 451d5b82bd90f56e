#include "trainer/comm/communicator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

namespace berth::comm {
namespace {

struct Case {
  const char* name;
  CommOptions options;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

CommOptions with(bool background, bool shared, int ranks_per_host, int64_t message_bytes) {
  CommOptions options;
  options.background = background;
  options.shared_memory = shared;
  options.ranks_per_host = ranks_per_host;
  options.message_bytes = message_bytes;
  return options;
}

class CommunicatorTest : public testing::TestWithParam<Case> {
 protected:
  std::unique_ptr<Communicator> comm = make_mpi_communicator(GetParam().options);

  // What rank r puts into element i of test number n. Magnitudes differ, so that sums round and their order shows.
  static float value(int n, int r, int64_t i) {
    const uint32_t mixed = static_cast<uint32_t>(i * 31 + r * 7 + n) * 2654435761u;
    return static_cast<float>(static_cast<int32_t>(mixed)) / static_cast<float>(1 << (4 * ((i + r) % 7)));
  }
  void fill(at::Tensor tensor, int n) const {
    float* data = tensor.data_ptr<float>();
    for (int64_t i = 0; i < tensor.numel(); ++i) data[i] = value(n, comm->rank(), i);
  }
  void expect_sum(const at::Tensor& tensor, int n) const {
    const float* data = tensor.const_data_ptr<float>();
    int wrong = 0;
    for (int64_t i = 0; i < tensor.numel(); ++i) {
      double sum = 0, size = 0;
      for (int r = 0; r < comm->size(); ++r) {
        sum += value(n, r, i);
        size += std::abs(value(n, r, i));
      }
      wrong += std::abs(data[i] - sum) > 1e-6 * size;
    }
    EXPECT_EQ(wrong, 0);
  }
  static std::string bytes(const at::Tensor& t) { return {static_cast<const char*>(t.const_data_ptr()), t.nbytes()}; }
  void expect_same_on_all_ranks(const at::Tensor& tensor) const {
    const auto all = comm->all_gather(bytes(tensor));
    for (const std::string& other : all) EXPECT_TRUE(other == all[0]);
  }
};

TEST_P(CommunicatorTest, SumsAllocatedTensorsBitwiseAlikeAndRepeatably) {
  const std::vector<int64_t> sizes = {1, 0, 17, 65536, 131073};
  std::vector<at::Tensor> tensors;
  for (const int64_t n : sizes) tensors.push_back(comm->allocate(n));
  std::vector<std::string> first;
  for (int round = 0; round < 3; ++round) {
    std::vector<Ticket> tickets;
    for (size_t k = 0; k < sizes.size(); ++k) {
      fill(tensors[k], static_cast<int>(k));
      tickets.push_back(comm->start_all_reduce(tensors[k]));
    }
    for (size_t k = 0; k < sizes.size(); ++k) {
      comm->wait(tickets[k]);
      if (round > 0) {
        EXPECT_TRUE(first[k] == bytes(tensors[k]));
        continue;
      }
      first.push_back(bytes(tensors[k]));
      expect_sum(tensors[k], static_cast<int>(k));
      expect_same_on_all_ranks(tensors[k]);
    }
  }
}

TEST_P(CommunicatorTest, PartsAreSummedAndGathered) {
  for (const int64_t part : {1, 1000, 70001}) {
    const int64_t n = part * comm->size();
    at::Tensor tensor = comm->allocate(n), expected = comm->allocate(n);
    fill(tensor, 3);
    fill(expected, 3);
    comm->wait(comm->start_reduce_scatter(tensor));
    comm->wait(comm->start_all_reduce(expected));
    const auto own = [&](const at::Tensor& of) { return of.narrow(0, comm->rank() * part, part); };
    EXPECT_TRUE(own(tensor).equal(own(expected)));
    at::Tensor gathered = at::full({n}, -1.f);
    own(gathered).copy_(own(tensor));
    const Ticket gathers = comm->start_all_gather(gathered);
    at::Tensor numbers = at::full({comm->size()}, comm->rank(), at::kDouble);
    comm->wait(comm->start_all_gather(numbers));
    comm->wait(gathers);
    EXPECT_TRUE(gathered.equal(expected));
    EXPECT_TRUE(numbers.equal(at::arange(comm->size(), at::kDouble)));
  }
}

TEST_P(CommunicatorTest, SharersGetTheSumsOfTheirParts) {
  const Sharers sharers = comm->sharers();
  EXPECT_EQ(sharers.size, GetParam().options.shared_memory ? comm->local_size() : 1);
  EXPECT_EQ(sharers.rank, GetParam().options.shared_memory ? comm->local_rank() : 0);
  EXPECT_EQ(sharers.first, comm->rank() == sharers.rank);  // hosts are neighbours here
  for (const int64_t n : {int64_t{10}, int64_t{200'001}}) {
    at::Tensor tensor = comm->allocate(n), expected = comm->allocate(n), foreign = at::empty({n});
    std::vector<int64_t> ends;
    for (int sharer = 1; sharer <= sharers.size; ++sharer) ends.push_back(n * sharer / sharers.size);
    for (at::Tensor* one : {&tensor, &expected, &foreign}) fill(*one, 5);
    comm->wait(comm->start_reduce_to_sharers(tensor, ends));
    comm->wait(comm->start_reduce_to_sharers(foreign, ends));
    comm->wait(comm->start_all_reduce(expected));
    const int64_t begin = sharers.rank == 0 ? 0 : ends[static_cast<size_t>(sharers.rank) - 1];
    const auto own = [&](const at::Tensor& of) { return of.slice(0, begin, ends[static_cast<size_t>(sharers.rank)]); };
    EXPECT_TRUE(own(tensor).equal(own(expected)));
    EXPECT_TRUE(own(foreign).equal(own(expected)));
  }
}

TEST_P(CommunicatorTest, SharersHaveOneMemory) {
  const Sharers sharers = comm->sharers();
  const int64_t n = 3000;
  at::Tensor shared = comm->allocate_shared(n * 8).view(at::kLong);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(shared.data_ptr()) % 64, 0u);
  EXPECT_EQ(shared.sum().item<int64_t>(), 0);
  comm->barrier();
  shared.slice(0, sharers.rank, n, sharers.size).fill_(comm->rank() + 1);
  comm->barrier();
  for (int sharer = 0; sharer < sharers.size; ++sharer)
    EXPECT_EQ(shared[sharer].item<int64_t>(), comm->rank() - sharers.rank + sharer + 1);
  comm->barrier();
  // Of one rank's memory, into that of the other hosts; the second half of it alone.
  at::Tensor half = shared.slice(0, n / 2, n);
  if (comm->rank() == 0) half.copy_(at::arange(n / 2));
  comm->broadcast(half, 0);
  EXPECT_TRUE(half.equal(at::arange(n / 2)));
  EXPECT_EQ(shared[0].item<int64_t>(), comm->rank() - sharers.rank + 1);
}

TEST_P(CommunicatorTest, SumsPartsOfAllocatedAndForeignTensors) {
  at::Tensor whole = comm->allocate(5000);
  whole.fill_(1);
  at::Tensor part = whole.slice(0, 1000, 3000);
  fill(part, 1);
  at::Tensor foreign = at::empty({300001}, at::kFloat);
  fill(foreign, 2);
  const Ticket a = comm->start_all_reduce(part);
  const Ticket b = comm->start_all_reduce(foreign);
  comm->wait(a);
  comm->wait(b);
  expect_sum(part, 1);
  expect_sum(foreign, 2);
  expect_same_on_all_ranks(foreign);
  EXPECT_EQ(whole.slice(0, 0, 1000).sum().item<float>(), 1000.f);
  EXPECT_EQ(whole.slice(0, 3000, 5000).sum().item<float>(), 2000.f);
}

TEST_P(CommunicatorTest, SumsManyTensorsInFlight) {
  constexpr int kMany = 200;
  std::vector<at::Tensor> tensors;
  std::vector<Ticket> tickets;
  at::Tensor pool = comm->allocate(kMany * 1000);
  for (int k = 0; k < kMany; ++k) tensors.push_back(pool.slice(0, k * 1000, k * 1000 + k * 4 + 1));
  for (int k = 0; k < kMany; ++k) {
    fill(tensors[k], k);
    tickets.push_back(comm->start_all_reduce(tensors[k]));
  }
  comm->wait(tickets.back());
  for (int k = 0; k < kMany; ++k) expect_sum(tensors[k], k);
}

TEST_P(CommunicatorTest, AllocatesZeroedAlignedMemoryThatOutlivesNothing) {
  for (const int64_t n : {1, 1000, 100000}) {
    at::Tensor t = comm->allocate(n);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(t.data_ptr()) % 64, 0u);
    EXPECT_EQ(t.numel(), n);
    EXPECT_EQ(t.abs().sum().item<float>(), 0.f);
    t.fill_(1);
    at::Tensor view = t.slice(0, 0, 1);
    t.reset();
    comm->wait(comm->start_all_reduce(view));
    EXPECT_EQ(view.item<float>(), static_cast<float>(comm->size()));
  }
}

TEST_P(CommunicatorTest, ReducesHostValues) {
  const int64_t n = comm->size(), r = comm->rank();
  std::vector<int64_t> ints = {r, 1, int64_t{1} << 40};
  comm->all_reduce_sum(std::span(ints));
  EXPECT_EQ(ints, (std::vector<int64_t>{n * (n - 1) / 2, n, n << 40}));
  std::vector<double> doubles = {0.5 * static_cast<double>(r)};
  comm->all_reduce_sum(std::span(doubles));
  EXPECT_EQ(doubles[0], 0.25 * static_cast<double>(n * (n - 1)));
  std::vector<int64_t> most = {r, -r};
  comm->all_reduce_max(most);
  EXPECT_EQ(most, (std::vector<int64_t>{n - 1, 0}));
  std::vector<uint64_t> bits = {uint64_t{1} << r, 1};
  comm->all_reduce_or(bits);
  EXPECT_EQ(bits, (std::vector<uint64_t>{(uint64_t{1} << n) - 1, 1}));
}

TEST_P(CommunicatorTest, MovesUnevenBytes) {
  const auto text = [](int r) { return r == 1 ? std::string() : std::string(1 + 700 * r, static_cast<char>('a' + r)); };
  const auto all = comm->all_gather(text(comm->rank()));
  ASSERT_EQ(all.size(), static_cast<size_t>(comm->size()));
  for (int r = 0; r < comm->size(); ++r) EXPECT_EQ(all[r], text(r));
  const int root = comm->size() - 1;
  const auto gathered = comm->gather(text(comm->rank()), root);
  if (comm->rank() == root) {
    EXPECT_EQ(gathered, all);
  } else {
    EXPECT_TRUE(gathered.empty());
  }
  std::string word = comm->rank() == root ? std::string(100000, 'x') + "y" : "to be replaced";
  comm->broadcast(word, root);
  EXPECT_EQ(word, std::string(100000, 'x') + "y");
  std::string nothing = comm->rank() == 0 ? "" : "something";
  comm->broadcast(nothing, 0);
  EXPECT_EQ(nothing, "");
  comm->barrier();
}

TEST_P(CommunicatorTest, BroadcastsTensorsOfAnyType) {
  for (const at::ScalarType type : {at::kFloat, at::kLong, at::kBFloat16, at::kBool}) {
    const at::Tensor wanted = at::arange(3000).remainder(7).to(type);
    at::Tensor tensor = comm->rank() == 0 ? wanted.clone() : at::zeros_like(wanted);
    comm->broadcast(tensor, 0);
    EXPECT_TRUE(at::equal(tensor, wanted));
  }
}

TEST_P(CommunicatorTest, KnowsHostsAndSaysWhatItIs) {
  const int per_host = GetParam().options.ranks_per_host;
  if (per_host > 0) {
    EXPECT_EQ(comm->local_rank(), comm->rank() % per_host);
    EXPECT_EQ(comm->local_size(), std::min(per_host, comm->size() - comm->rank() / per_host * per_host));
  } else {
    EXPECT_EQ(comm->local_size(), comm->size());
  }
  EXPECT_NE(comm->description().find(std::to_string(comm->size()) + " rank"), std::string::npos);
  const char* const library = std::getenv("BERTH_TEST_MPI");
  EXPECT_THAT(comm->description(), testing::StartsWith(library ? library : ""));
}

constexpr int64_t kBig = 1 << 30;
INSTANTIATE_TEST_SUITE_P(Ways, CommunicatorTest,
                         testing::Values(Case{"SharedMemory", with(true, true, 0, kBig)},
                                         Case{"SharedMemoryAtWait", with(false, true, 0, kBig)},
                                         Case{"NoSharedMemory", with(true, false, 0, kBig)},
                                         Case{"HostsOfTwo", with(true, true, 2, kBig)},
                                         Case{"HostsOfTwoAtWait", with(false, true, 2, kBig)},
                                         Case{"HostsOfOneShortMessages", with(true, true, 1, 100000)},
                                         Case{"HostsOfThreeShortMessages", with(true, true, 3, 60000)}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace berth::comm
