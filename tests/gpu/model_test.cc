// The model, its gradients and the optimizer on a GPU against the CPU, which is tested against transformers.
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAFunctions.h>
#include <gtest/gtest.h>

#include <limits>

#include "trainer/comm/communicator.h"
#include "trainer/model/heads.h"
#include "trainer/optim/adamw.h"
#include "trainer/optim/grad_reducer.h"

namespace berth::train {
namespace {

BertConfig small_config() {
  BertConfig config;
  config.vocab_size = 500;
  config.hidden_size = 64;
  config.num_hidden_layers = 3;
  config.num_attention_heads = 4;
  config.intermediate_size = 128;
  config.max_position_embeddings = 64;
  config.label_names = {"no", "yes", "perhaps"};
  return config;
}

data::Batch some_batch(int samples) {
  data::Batch batch;
  batch.cu_samples = batch.cu_seqlens = {0};
  for (int b = 0; b < samples; ++b) {
    const int length = 3 + b * 5 % 40;
    for (int i = 0; i < length; ++i) {
      batch.input_ids.push_back(1 + (b * 37 + i * 11) % 499);
      batch.token_type_ids.push_back(i > length / 2);
      batch.position_ids.push_back(i);
    }
    batch.sample_ids.push_back(b);
    batch.sequence_ids.push_back(b);
    batch.cu_samples.push_back(batch.cu_samples.back() + 1);
    batch.cu_seqlens.push_back(static_cast<int32_t>(batch.input_ids.size()));
    batch.labels.push_back(b % 3);
  }
  return batch;
}

struct Trainer {
  explicit Trainer(int gpu) : comm(comm::make_local_communicator(gpu)) {
    const auto specs = architecture_of(data::TaskKind::kSequenceClassification).parameters(small_config(), /*rows=*/true);
    store = std::make_unique<ParameterStore>(specs, *comm, /*bucket_bytes=*/1 << 16);
    store->initialize(specs, /*initializer_range=*/0.05, /*seed=*/1);
    model = architecture_of(data::TaskKind::kSequenceClassification).make(small_config(), *store);
    reducer = std::make_unique<GradReducer>(*store, *comm);
    optimizer = std::make_unique<AdamW>(*store, AdamWOptions{.learning_rate = 1e-3, .weight_decay = 0.01});
  }

  at::Tensor logits(const data::Batch& batch, const ForwardContext& context) const {
    return model->logits(to_device(batch, comm->device()), context)[0];
  }
  // Forward, backward and, on a device, all of the optimizer's step, enqueued; returns the loss.
  at::Tensor begin_step(const data::Batch& batch, const ForwardContext& context) {
    reducer->begin(RowSet(reducer->table_rows(), batch.input_ids));
    reducer->set_last(true);
    const DeviceBatch on_device = to_device(batch, comm->device());
    const at::Tensor loss = model->loss_sums(model->logits(on_device, context), on_device).sum() / batch.size();
    loss.backward(optimizer->loss_scale());
    reducer->finish();
    if (optimizer->on_device())
      optimizer->start(optimizer->peaks(), loss.detach().view({1}), reducer->touched(), /*halts=*/false);
    return loss.detach();
  }
  // One optimizer step; returns the loss.
  double step(const data::Batch& batch, const ForwardContext& context) {
    const at::Tensor loss = begin_step(batch, context);
    if (optimizer->on_device()) return (scalars = optimizer->finish()).loss;
    optimizer->step(optimizer->peaks(), optimizer->gradient_norm(reducer->touched_rows()), reducer->touched_rows());
    store->refresh_compute_copy();
    return loss.item<double>();
  }

  kernels::StepScalars scalars{};  // of the last step() on a device
  std::unique_ptr<comm::Communicator> comm;
  std::unique_ptr<ParameterStore> store;
  std::unique_ptr<Model> model;
  std::unique_ptr<GradReducer> reducer;
  std::unique_ptr<AdamW> optimizer;
};

double relative_error(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor reference = b.detach().cpu().to(at::kFloat);
  return ((a.detach().cpu().to(at::kFloat) - reference).norm() / (reference.norm() + 1e-3)).item<double>();
}

class GpuModel : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_GT(at::cuda::device_count(), 0) << "this machine shows no GPU";
    at::globalContext().setAllowTF32CuBLAS(false);
  }
  int gpu = 0;
};

TEST_F(GpuModel, ForwardEqualsTheCpus) {
  const data::Batch batch = some_batch(9);
  Trainer on_cpu(-1), on_gpu(gpu);
  EXPECT_LT(relative_error(on_gpu.logits(batch, {}), on_cpu.logits(batch, {})), 1e-4);
}

TEST_F(GpuModel, Bf16ForwardIsCloseToFp32) {
  const data::Batch batch = some_batch(9);
  Trainer on_gpu(gpu);
  const at::Tensor reference = on_gpu.logits(batch, {});
  on_gpu.store->enable_compute_copy(at::kBFloat16);
  ForwardContext context;
  context.compute_type = at::kBFloat16;
  EXPECT_LT(relative_error(on_gpu.logits(batch, context), reference), 3e-2);
}

TEST_F(GpuModel, TenStepsGiveTheCpusLossesAndGradients) {
  Trainer on_cpu(-1), on_gpu(gpu);
  for (int i = 0; i < 10; ++i) {
    const data::Batch batch = some_batch(5 + i);
    const double expected = on_cpu.step(batch, {});
    EXPECT_NEAR(on_gpu.step(batch, {}), expected, 1e-3 * expected) << "step " << i;
    if (i > 0) continue;
    for (const Parameter& parameter : on_cpu.store->parameters()) {
      EXPECT_LT(relative_error((*on_gpu.store)[parameter.name].grad, parameter.grad), 1e-3) << parameter.name;
    }
  }
}

TEST_F(GpuModel, Fp16sGradientsAreFp32sTimesTheLossScale) {
  constexpr float kScale = 65536;
  data::Batch batch = some_batch(9);
  Trainer full(gpu), half(gpu);
  half.store->enable_compute_copy(at::kHalf);
  half.optimizer->scale_loss({.scale = kScale, .updates = 0});
  ForwardContext context;
  const double wanted = full.step(batch, context);
  context.compute_type = at::kHalf;
  EXPECT_NEAR(half.step(batch, context), wanted, 2e-3 * wanted);
  for (const Parameter& parameter : full.store->parameters()) {
    const at::Tensor gradient = (*half.store)[parameter.name].grad / kScale;
    EXPECT_LT(relative_error(gradient, parameter.grad), 1e-2) << parameter.name;
  }
  const kernels::StepScalars &scaled = half.scalars, &plain = full.scalars;
  EXPECT_NEAR(scaled.norm, plain.norm, 5e-3 * plain.norm) << "of the unscaled gradient";
  EXPECT_EQ(scaled.loss_scale.updates, 1);
  for (const Bucket& bucket : half.store->buckets())
    EXPECT_TRUE(bucket.kind == GradKind::kRows || at::equal(bucket.compute_values, bucket.values.to(at::kHalf)));
}

TEST_F(GpuModel, ABatchIsTheSameThere) {
  data::Batch host = some_batch(9);
  host.float_labels = {0.5f, -1};
  const DeviceBatch on_cpu = to_device(host, at::kCPU), on_gpu = to_device(host, at::Device(at::kCUDA, 0));
  const auto parts = [](const DeviceBatch& b) {
    return std::vector<at::Tensor>{b.cu_samples,      b.sequence_ids, b.cu_seqlens,       b.input_ids,       b.token_type_ids,
                                   b.position_ids,    b.labels,       b.float_labels,     b.token_sequences, b.first_tokens,
                                   b.first_positions, b.targets,      b.target_sequences, b.target_positions};
  };
  for (size_t i = 0; i < parts(on_cpu).size(); ++i) EXPECT_TRUE(at::equal(parts(on_gpu)[i].cpu(), parts(on_cpu)[i])) << i;
}

// All of a step, from its batch to the update, is enqueued without waiting for the GPU.
TEST_F(GpuModel, AStepIsNotWaitedForBeforeItsEnd) {
  Trainer on_gpu(gpu);
  on_gpu.store->enable_compute_copy(at::kBFloat16);
  ForwardContext context;
  context.training = true;
  context.compute_type = at::kBFloat16;
  const data::Batch batch = some_batch(9);
  on_gpu.step(batch, context);
  c10::cuda::warning_state().set_sync_debug_mode(c10::cuda::SyncDebugMode::L_ERROR);
  EXPECT_NO_THROW(on_gpu.begin_step(batch, context));
  c10::cuda::warning_state().set_sync_debug_mode(c10::cuda::SyncDebugMode::L_DISABLED);
  EXPECT_EQ(on_gpu.optimizer->finish().updates, 2);
  for (const Bucket& bucket : on_gpu.store->buckets())
    EXPECT_TRUE(bucket.kind == GradKind::kRows || at::equal(bucket.compute_values, bucket.values.to(at::kBFloat16)));
}

// Nor does the step behind it, where the run is to halt.
TEST_F(GpuModel, AStepThatIsNotFiniteChangesNothing) {
  Trainer on_gpu(gpu);
  const data::Batch batch = some_batch(9);
  on_gpu.step(batch, {});
  std::vector<at::Tensor> before;
  for (const Bucket& bucket : on_gpu.store->buckets()) before.push_back(bucket.values.clone());
  on_gpu.reducer->begin(RowSet(on_gpu.reducer->table_rows(), batch.input_ids));
  on_gpu.reducer->finish();
  const at::Tensor loss = at::full({1}, std::numeric_limits<float>::infinity(), before[0].options());
  on_gpu.optimizer->start(on_gpu.optimizer->peaks(), loss, on_gpu.reducer->touched(), /*halts=*/true);
  on_gpu.begin_step(batch, {});
  EXPECT_EQ(on_gpu.optimizer->finish().loss, std::numeric_limits<double>::infinity());
  EXPECT_EQ(on_gpu.optimizer->finish().finite, 0);
  EXPECT_EQ(on_gpu.optimizer->steps(), 1);
  for (size_t b = 0; b < before.size(); ++b) EXPECT_TRUE(at::equal(on_gpu.store->buckets()[b].values, before[b])) << b;
}

TEST_F(GpuModel, DropoutIsTheCpus) {
  const data::Batch batch = some_batch(9);
  Trainer on_cpu(-1), on_gpu(gpu);
  ForwardContext context;
  context.training = true;
  EXPECT_LT(relative_error(on_gpu.logits(batch, context), on_cpu.logits(batch, context)), 1e-4);
  const double expected = on_cpu.step(batch, context);
  EXPECT_NEAR(on_gpu.step(batch, context), expected, 1e-4 * expected);
  for (const Parameter& parameter : on_cpu.store->parameters())
    EXPECT_LT(relative_error((*on_gpu.store)[parameter.name].grad, parameter.grad), 1e-3) << parameter.name;
}

TEST_F(GpuModel, DropoutRepeatsForTheSameSeedAndStep) {
  const data::Batch batch = some_batch(9);
  Trainer on_gpu(gpu);
  ForwardContext context;
  context.training = true;
  const at::Tensor first = on_gpu.logits(batch, context);
  EXPECT_TRUE(at::equal(first, on_gpu.logits(batch, context)));
  context.step = 1;
  EXPECT_FALSE(at::equal(first, on_gpu.logits(batch, context)));
}

TEST_F(GpuModel, LearnsABatch) {
  Trainer on_gpu(gpu);
  ForwardContext context;
  context.training = true;
  const data::Batch batch = some_batch(6);
  const double before = on_gpu.step(batch, context);
  double after = before;
  for (int i = 1; i < 20; ++i) {
    context.step = i;
    after = on_gpu.step(batch, context);
  }
  EXPECT_LT(after, 0.5 * before);
}

}  // namespace
}  // namespace berth::train
