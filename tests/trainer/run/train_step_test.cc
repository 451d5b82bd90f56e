#include "trainer/run/train_step.h"

#include <gtest/gtest.h>

#include <optional>

#include "tests/support/fiber_optimizer.h"
#include "tests/trainer/run/tiny_run.h"
#include "trainer/run/replicas.h"
#include "trainer/run/step_data.h"
#include "trainer/run/train_setup.h"

namespace berth::train {
namespace {

class TrainStepTest : public TinyRun {
 protected:
  // A setup of its own, and its first step's micro-batches.
  struct Prepared {
    TrainOptions options;
    RunFolder folder;
    TrainSetup setup;
    std::vector<data::Batch> batches;

    Prepared(const TrainOptions& o, comm::Communicator& comm)
        : options(o), folder(options, comm), setup(set_up(options, &folder, comm)) {
      data::Prefetcher<StepData> prefetcher = read_ahead(options, setup, comm);
      const std::optional<StepData> first = prefetcher.next();
      for (const MicroBatch& micro_batch : first->micro_batches) batches.push_back(micro_batch.batch);
    }
    StepData data() const { return StepDataMaker(*setup.model, at::kCPU)(batches); }
    StepResult step(comm::Communicator& comm, int64_t number = 0) {
      TrainStep train_step(*setup.model, *setup.optimizer, comm, options);
      train_step.agree(data(), {});
      train_step.start(number, setup.optimizer->peaks());
      return train_step.finish();
    }
    at::Tensor& value(const std::string& name) { return setup.model->parameters()[name].value; }
  };

  TrainOptions in(const std::string& folder) const {
    TrainOptions o = options();
    o.output_dir = folder_ / folder;
    return o;
  }
};

TEST_F(TrainStepTest, HowAStepIsCutIntoMicroBatchesDoesNotMatter) {
  std::vector<double> losses;
  for (const std::vector<std::string>& weights : {std::vector<std::string>{}, {"negative=0.1", "positive=5"}}) {
    TrainOptions one = in(concat("one", weights.size())), three = in(concat("three", weights.size()));
    one.batch.per_device_train_batch_size = 6;
    three.batch.per_device_train_batch_size = 2;
    one.model_options.class_weights = three.model_options.class_weights = weights;
    Prepared whole(one, *comm_), cut(three, *comm_);
    ASSERT_EQ(whole.batches.size(), 1u);
    ASSERT_EQ(cut.batches.size(), 3u);
    const StepResult a = whole.step(*comm_), b = cut.step(*comm_);
    EXPECT_EQ(a.samples, 6);
    EXPECT_EQ(b.samples, 6);
    EXPECT_EQ(a.tokens, b.tokens);
    EXPECT_NEAR(a.loss, b.loss, 1e-6 * a.loss) << "dropout is on";
    EXPECT_NEAR(a.grad_norm, b.grad_norm, 1e-5 * a.grad_norm);
    EXPECT_TRUE(at::allclose(whole.value("classifier.weight"), cut.value("classifier.weight"), 1e-4, 1e-6));
    losses.push_back(a.loss);
  }
  EXPECT_GT(std::abs(losses[0] - losses[1]), 1e-4);
}

// All of whose samples have a class of weight 0: torch's mean would be 0 / 0.
TEST_F(TrainStepTest, AStepWhoseTargetsWeighNothingChangesNothing) {
  TrainOptions o = in("weightless");
  o.model_options.class_weights = {"negative=0", "positive=1"};
  Prepared run(o, *comm_);
  for (data::Batch& batch : run.batches) std::fill(batch.labels.begin(), batch.labels.end(), 0);
  const StepResult result = run.step(*comm_);
  EXPECT_TRUE(result.finite);
  EXPECT_EQ(result.loss, 0);
  EXPECT_EQ(result.grad_norm, 0);
}

TEST_F(TrainStepTest, TheSameStepGivesTheSameBitsAndAnotherStepOtherMasks) {
  Prepared first(in("first"), *comm_), again(in("again"), *comm_), other(in("other"), *comm_);
  const StepResult a = first.step(*comm_), b = again.step(*comm_), c = other.step(*comm_, 1);
  EXPECT_EQ(a.loss, b.loss);
  EXPECT_EQ(parameter_hash(first.setup.model->parameters()), parameter_hash(again.setup.model->parameters()));
  EXPECT_NE(a.loss, c.loss) << "the same samples, but dropout is keyed by the step";
}

TEST_F(TrainStepTest, WishesOfAnyRankAreAgreedOn) {
  Prepared run(in("wishes"), *comm_);
  TrainStep step(*run.setup.model, *run.setup.optimizer, *comm_, run.options);
  const ControlWord none = step.agree(run.data(), {}), both = step.agree(run.data(), {.stop = true, .save = true});
  EXPECT_FALSE(none.stop || none.save);
  EXPECT_TRUE(both.stop && both.save);
}

// The kernels of CUDA's optimizer on fibers: all is enqueued, and read once.
TEST_F(TrainStepTest, ADeviceThatDecidesByItselfComesToTheHostsResult) {
  TrainOptions o = in("host");
  o.batch.per_device_train_batch_size = 2;
  Prepared host(o, *comm_);
  std::optional<test::FiberOptimizer> fibers(std::in_place);
  o.output_dir = folder_ / "device";
  Prepared device(o, *comm_);
  fibers.reset();
  ASSERT_EQ(device.batches.size(), 3u);
  ASSERT_TRUE(device.setup.optimizer->on_device() && !host.setup.optimizer->on_device());
  for (int64_t step = 0; step < 3; ++step) {
    const StepResult a = host.step(*comm_, step), b = device.step(*comm_, step);
    EXPECT_NEAR(a.loss, b.loss, 1e-6 * a.loss);
    EXPECT_NEAR(a.grad_norm, b.grad_norm, 1e-5 * a.grad_norm);
    EXPECT_EQ(a.tokens, b.tokens);
    EXPECT_TRUE(b.finite);
    EXPECT_EQ(device.setup.optimizer->steps(), step + 1);
  }
  for (const Parameter& parameter : host.setup.model->parameters().parameters())
    EXPECT_TRUE(at::allclose(parameter.value, device.value(parameter.name), 1e-5, 1e-7)) << parameter.name;
}

TEST_F(TrainStepTest, AStepOfARankWithoutSamplesIsOne) {
  for (const bool on_device : {false, true}) {
    std::optional<test::FiberOptimizer> fibers;
    if (on_device) fibers.emplace();
    Prepared run(in(on_device ? "device" : "host"), *comm_);
    TrainStep step(*run.setup.model, *run.setup.optimizer, *comm_, run.options);
    step.agree(StepDataMaker(*run.setup.model, at::kCPU)({}), {});
    step.start(0, run.setup.optimizer->peaks());
    const StepResult result = step.finish();
    EXPECT_TRUE(result.finite);
    EXPECT_EQ(result.loss, 0);
    EXPECT_EQ(result.grad_norm, 0);
    EXPECT_EQ(result.samples, 0);
  }
}

TEST_F(TrainStepTest, AStepThatIsNotFiniteChangesNothingAndNamesItsSamples) {
  for (const bool on_device : {false, true}) {
    std::optional<test::FiberOptimizer> fibers;
    if (on_device) fibers.emplace();
    Prepared run(in(on_device ? "device" : "host"), *comm_);
    {
      const at::NoGradGuard guard;
      run.value("classifier.bias").fill_(std::numeric_limits<float>::infinity());
    }
    const uint64_t before = parameter_hash(run.setup.model->parameters());
    TrainStep step(*run.setup.model, *run.setup.optimizer, *comm_, run.options);
    step.agree(run.data(), {});
    step.start(0, run.setup.optimizer->peaks());
    EXPECT_FALSE(step.finish().finite);
    EXPECT_EQ(parameter_hash(run.setup.model->parameters()), before);
    EXPECT_EQ(run.setup.optimizer->steps(), 0);
    const std::string culprit = step.culprit(0);
    EXPECT_NE(culprit.find("rank 0"), std::string::npos) << culprit;
    for (int64_t sample : run.batches[0].sample_ids)
      EXPECT_NE(culprit.find(std::to_string(sample)), std::string::npos) << culprit;
  }
}

TEST_F(TrainStepTest, TheHashOfTheParametersSeesOneBit) {
  Prepared run(in("hash"), *comm_);
  ParameterStore& parameters = run.setup.model->parameters();
  const uint64_t before = parameter_hash(parameters);
  EXPECT_NO_THROW(check_replicas(parameters, *comm_, 1));
  for (const char* name : {"classifier.bias", "bert.embeddings.word_embeddings.weight", "bert.pooler.dense.weight"}) {
    const at::NoGradGuard guard;
    at::Tensor last = run.value(name).flatten().slice(0, -1);
    const at::Tensor kept = last.clone();
    last.copy_(at::nextafter(kept, kept + 1));
    EXPECT_NE(parameter_hash(parameters), before) << name;
    last.copy_(kept);
    EXPECT_EQ(parameter_hash(parameters), before) << name;
  }
  const test::FiberOptimizer on_device;
  EXPECT_EQ(parameter_hash(parameters), before) << "by a GPU's kernel";
}

}  // namespace
}  // namespace berth::train
