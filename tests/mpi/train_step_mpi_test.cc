// Steps over ranks of which each decides by itself, as on GPUs (the optimizer's kernels on fibers): all come to the same.
#include <gtest/gtest.h>

#include <optional>

#include "tests/support/fiber_optimizer.h"
#include "trainer/comm/agree.h"
#include "trainer/run/replicas.h"
#include "trainer/run/train_step.h"

namespace berth::train {
namespace {

BertConfig tiny_config() {
  BertConfig config;
  config.vocab_size = 50;
  config.hidden_size = 32;
  config.num_hidden_layers = 1;
  config.num_attention_heads = 2;
  config.intermediate_size = 48;
  config.max_position_embeddings = 16;
  config.initializer_range = 0.1;
  config.label_names = {"score"};
  return config;
}

// Rank r's micro-batches, of r + 1 samples each: two, but none on the last of several ranks.
std::vector<data::Batch> batches_of(int rank, int ranks) {
  std::vector<data::Batch> batches(rank > 0 && rank == ranks - 1 ? 0 : 2);
  for (size_t b = 0; b < batches.size(); ++b) {
    data::Batch& batch = batches[b];
    batch.cu_samples = batch.cu_seqlens = {0};
    for (int sample = 0; sample <= rank; ++sample) {
      const int64_t id = 100 * rank + 10 * static_cast<int64_t>(b) + sample;
      const int length = 3 + static_cast<int>(id % 7);
      for (int i = 0; i < length; ++i) {
        batch.input_ids.push_back(1 + static_cast<int32_t>((id * 31 + i * 17) % 49));
        batch.token_type_ids.push_back(0);
        batch.position_ids.push_back(i);
      }
      batch.sample_ids.push_back(id);
      batch.sequence_ids.push_back(id);
      batch.cu_samples.push_back(batch.cu_samples.back() + 1);
      batch.cu_seqlens.push_back(static_cast<int32_t>(batch.input_ids.size()));
      batch.float_labels.push_back(static_cast<float>(id % 5) / 4);
    }
  }
  return batches;
}

struct Trainee {
  TrainOptions options;
  ModelInstance model;
  std::unique_ptr<AdamW> optimizer;
  std::unique_ptr<TrainStep> train_step;

  Trainee(comm::Communicator& comm, bool on_device, OnNan on_nan = OnNan::kStop,
          ParameterStore::Updates updates = ParameterStore::Updates::kOnEachHost)
      : model(tiny_config(), data::TaskKind::kRegression, comm, /*bucket_bytes=*/1 << 12, {}, updates) {
    options.on_nan = on_nan;
    model.initialize(5);
    std::optional<test::FiberOptimizer> fibers;
    if (on_device) fibers.emplace();
    optimizer = std::make_unique<AdamW>(model.parameters(), AdamWOptions{.learning_rate = 1e-2, .weight_decay = 0.01});
    train_step = std::make_unique<TrainStep>(model, *optimizer, comm, options);
  }
  void start(const std::vector<data::Batch>& batches, int64_t number) {
    train_step->agree(StepDataMaker(model, at::kCPU)(batches), {});
    train_step->start(number, optimizer->peaks());
  }
  StepResult step(const std::vector<data::Batch>& batches, int64_t number) {
    start(batches, number);
    return train_step->finish();
  }
};

class TrainStepRanksTest : public testing::Test {
 protected:
  // Devices share no values.
  comm::Communicator& comm(bool on_device) { return on_device ? *apart_ : *comm_; }

  std::unique_ptr<comm::Communicator> comm_ = comm::make_mpi_communicator({});
  std::unique_ptr<comm::Communicator> apart_ = comm::make_mpi_communicator({.shared_memory = false});
  std::vector<data::Batch> batches_ = batches_of(comm_->rank(), comm_->size());
};

TEST_F(TrainStepRanksTest, DevicesComeToTheHostsResultAndToTheSameBits) {
  Trainee host(*comm_, false), device(*apart_, true);
  for (int64_t step = 0; step < 3; ++step) {
    const StepResult a = host.step(batches_, step), b = device.step(batches_, step);
    EXPECT_TRUE(a.finite && b.finite);
    EXPECT_NEAR(a.loss, b.loss, 1e-6 * a.loss);
    EXPECT_NEAR(a.grad_norm, b.grad_norm, 1e-5 * a.grad_norm);
  }
  EXPECT_EQ(device.optimizer->steps(), 3);
  check_replicas(device.model.parameters(), *comm_, 3);
  for (const Parameter& parameter : host.model.parameters().parameters())
    EXPECT_TRUE(at::allclose(parameter.value, device.model.parameters()[parameter.name].value, 1e-4, 1e-6)) << parameter.name;
}

// Of a communicator that does nothing before it must, values that were not awaited are those of the step before.
TEST_F(TrainStepRanksTest, OtherRanksValuesAreAwaitedWhereTheyAreRead) {
  const auto lazy = comm::make_mpi_communicator({.background = false, .shared_memory = false});
  for (const bool on_device : {false, true}) {
    Trainee whole(*apart_, on_device), cut(*lazy, on_device, OnNan::kStop, ParameterStore::Updates::kAmongAll);
    EXPECT_GT(cut.model.parameters().buckets().size(), 4U);
    for (int64_t step = 0; step < 4; ++step) {
      const StepResult a = whole.step(batches_, step), b = cut.step(batches_, step);
      EXPECT_NEAR(a.loss, b.loss, 1e-6 * a.loss);
      EXPECT_NEAR(a.grad_norm, b.grad_norm, 1e-5 * a.grad_norm);
    }
    cut.model.parameters().await_values();
    check_replicas(cut.model.parameters(), *comm_, 4);
    for (const Parameter& parameter : whole.model.parameters().parameters())
      EXPECT_TRUE(at::allclose(parameter.value, cut.model.parameters()[parameter.name].value, 1e-4, 1e-6)) << parameter.name;
  }
}

// The loss of one rank overflows, and no gradient does: the others learn it with the sum of losses.
TEST_F(TrainStepRanksTest, OneRanksLossStopsAllUpdates) {
  const int where = std::max(0, comm_->size() - 2);
  if (comm_->rank() == where) batches_[1].float_labels[0] = 1e30f;
  for (const bool on_device : {false, true}) {
    Trainee trainee(comm(on_device), on_device);
    const uint64_t before = parameter_hash(trainee.model.parameters());
    const StepResult result = trainee.step(batches_, 0);
    EXPECT_FALSE(result.finite);
    EXPECT_TRUE(std::isfinite(result.grad_norm));
    EXPECT_FALSE(std::isfinite(result.loss));
    EXPECT_EQ(parameter_hash(trainee.model.parameters()), before);
    EXPECT_EQ(trainee.optimizer->steps(), 0);
    const std::string culprit = trainee.train_step->culprit(0),
                      wanted = concat("rank ", where, ", micro-batch 1, loss inf, samples ", 100 * where + 10);
    EXPECT_EQ(culprit.substr(0, wanted.size()), wanted);
  }
}

TEST_F(TrainStepRanksTest, WhatOneRankCannotReadEndsTheStepOnAll) {
  const int where = comm_->size() - 1;
  for (const bool on_device : {false, true}) {
    Trainee trainee(comm(on_device), on_device);
    trainee.start(batches_, 0);
    StepData data = StepDataMaker(trainee.model, at::kCPU)(comm_->rank() == where ? std::vector<data::Batch>{} : batches_);
    if (comm_->rank() == where) data.failure = std::make_exception_ptr(Error(ExitCode::kBadInput, "data.h5: damaged"));
    try {
      trainee.train_step->agree(std::move(data), {});
      ADD_FAILURE() << "the step was agreed on";
    } catch (const comm::AgreedError& error) {
      EXPECT_EQ(error.code(), ExitCode::kBadInput);
      EXPECT_EQ(error.what(), where == 0 ? "data.h5: damaged" : concat("data.h5: damaged (on rank ", where, ")"));
    }
    EXPECT_EQ(trainee.train_step->under_way(), 0);
  }
}

// The host hears of a step when the next one has begun. That one's loss and gradient are finite.
TEST_F(TrainStepRanksTest, AStepIsFinishedWhenTheNextOneHasBegun) {
  Trainee prompt(*apart_, true), late(*apart_, true);
  StepResult wanted = prompt.step(batches_, 0);
  late.start(batches_, 0);
  for (int64_t step = 1; step < 4; ++step) {
    late.start(batches_, step);
    EXPECT_EQ(late.train_step->under_way(), 2);
    const StepResult result = late.train_step->finish();
    EXPECT_EQ(result.loss, wanted.loss);
    EXPECT_EQ(result.grad_norm, wanted.grad_norm);
    EXPECT_EQ(result.samples, wanted.samples);
    EXPECT_EQ(late.optimizer->steps(), step);
    wanted = prompt.step(batches_, step);
  }
  EXPECT_EQ(late.train_step->finish().loss, wanted.loss);
  EXPECT_EQ(parameter_hash(late.model.parameters()), parameter_hash(prompt.model.parameters()));
}

TEST_F(TrainStepRanksTest, AStepBehindOneThatIsNotFiniteUpdatesOnlyIfSuchStepsAreSkipped) {
  const int where = std::max(0, comm_->size() - 2);
  std::vector<data::Batch> broken = batches_;
  if (comm_->rank() == where) broken[0].float_labels[0] = 1e30f;
  for (const OnNan on_nan : {OnNan::kStop, OnNan::kSkip}) {
    Trainee trainee(*apart_, true, on_nan);
    const uint64_t before = parameter_hash(trainee.model.parameters());
    trainee.start(broken, 0);
    trainee.start(batches_, 1);
    EXPECT_FALSE(trainee.train_step->finish().finite);
    const std::string culprit = trainee.train_step->culprit(0),
                      wanted = concat("rank ", where, ", micro-batch 0, loss inf, samples ", 100 * where);
    EXPECT_EQ(culprit.substr(0, wanted.size()), wanted) << "of the step that was finished, not of the one under way";
    EXPECT_EQ(parameter_hash(trainee.model.parameters()) == before, on_nan == OnNan::kStop);
    const StepResult behind = trainee.train_step->finish();
    EXPECT_TRUE(std::isfinite(behind.loss) && std::isfinite(behind.grad_norm));
    EXPECT_EQ(behind.finite, on_nan == OnNan::kSkip);
    EXPECT_EQ(trainee.optimizer->steps(), on_nan == OnNan::kSkip ? 1 : 0);
  }
}

}  // namespace
}  // namespace berth::train
