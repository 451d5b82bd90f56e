#include <gtest/gtest.h>

#include "trainer/comm/communicator.h"

namespace berth::comm {
namespace {

TEST(LocalCommunicator, AllocatesZeroedAlignedMemoryAndLeavesValuesAlone) {
  auto comm = make_local_communicator();
  at::Tensor t = comm->allocate(10);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(t.data_ptr()) % 64, 0u);
  EXPECT_EQ(t.abs().sum().item<float>(), 0.f);
  t.fill_(3);
  comm->wait(comm->start_all_reduce(t));
  EXPECT_EQ(t.sum().item<float>(), 30.f);
  EXPECT_EQ(comm->all_gather("x"), std::vector<std::string>{"x"});
}

}  // namespace
}  // namespace berth::comm
