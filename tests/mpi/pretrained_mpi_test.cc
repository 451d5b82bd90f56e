#include <gtest/gtest.h>

#include "tests/trainer/checkpoint/tensor_test_util.h"
#include "trainer/run/replicas.h"
#include "trainer/use/pretrained.h"

namespace berth::train {
namespace {

const std::vector<NamedShape> kShapes{
    {"bert.embeddings.word_embeddings.weight", {500, 7}}, {"bert.embeddings.LayerNorm.weight", {7}}, {"classifier.bias", {3}}};

class PretrainedRanksTest : public ::testing::Test {
 protected:
  PretrainedRanksTest() {
    if (comm_->rank() == 0) write_bytes(folder_ / "model.safetensors", safetensors_bytes(kShapes));
  }
  // Rank 0's folder; the other ranks have none, so that they would fail if they read.
  std::filesystem::path mine() const { return comm_->rank() == 0 ? folder_.path() : "/no/such/folder"; }

  TempDir folder_;
  static std::vector<ParameterSpec> specs() {
    std::vector<ParameterSpec> all;
    for (const NamedShape& shape : kShapes) all.push_back({.name = shape.name, .shape = shape.shape});
    return all;
  }

  std::unique_ptr<comm::Communicator> comm_ = comm::make_mpi_communicator({});
  ParameterStore store_{specs(), *comm_, 64};
};

TEST_F(PretrainedRanksTest, OneRankReadsForAll) {
  const PretrainedReport report = load_pretrained(mine(), store_, *comm_, {.with_digests = true});
  for (const Parameter& parameter : store_.parameters()) {
    const auto expected = named_values(parameter.name, parameter.value.numel());
    EXPECT_EQ(std::memcmp(parameter.value.const_data_ptr(), expected.data(), parameter.value.nbytes()), 0) << parameter.name;
  }
  EXPECT_EQ(report.sha256.size(), 1u);
  EXPECT_TRUE(report.missing.empty());
  check_replicas(store_, *comm_, 0);
}

// On hosts of one rank.
TEST_F(PretrainedRanksTest, ReplicasThatDifferInOneBitAreNamedOnAllRanks) {
  const auto apart = comm::make_mpi_communicator({.ranks_per_host = 1});
  ParameterStore store(specs(), *apart, 64);
  load_pretrained(mine(), store, *apart);
  const int last = apart->size() - 1;
  if (apart->rank() == last) {
    const at::NoGradGuard guard;
    at::Tensor value = store.parameters()[0].value.flatten().slice(0, 0, 1);
    value.copy_(at::nextafter(value, value + 1));
  }
  try {
    check_replicas(store, *apart, 7);
    EXPECT_EQ(last, 0) << "nothing was noticed";
  } catch (const Error& error) {
    EXPECT_GT(last, 0);
    EXPECT_EQ(error.code(), ExitCode::kDiverged);
    EXPECT_NE(std::string(error.what()).find("of rank " + std::to_string(last) + " are"), std::string::npos) << error.what();
  }
}

TEST_F(PretrainedRanksTest, WhatRankZeroCannotReadFailsOnAll) {
  if (comm_->rank() == 0) write_bytes(folder_ / "model.safetensors", "damaged");
  expect_refused([&] { load_pretrained(mine(), store_, *comm_); }, {"model.safetensors", "truncated"});
}

TEST_F(PretrainedRanksTest, NamedTensorsReachAllRanks) {
  NamedTensors tensors;
  for (const NamedShape& shape : kShapes) tensors.emplace_back(shape.name, at::zeros(shape.shape));
  load_named_tensors(mine() / "model.safetensors", tensors, *comm_);
  for (const auto& [name, tensor] : tensors) {
    const auto expected = named_values(name, tensor.numel());
    EXPECT_EQ(std::memcmp(tensor.const_data_ptr(), expected.data(), tensor.nbytes()), 0) << name;
  }
}

}  // namespace
}  // namespace berth::train
