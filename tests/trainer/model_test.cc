// What must hold of a whole model's pass: the same gradients in any batch order and with checkpointing, one announcement per
// gradient, frozen parameters, bf16 near fp32.
#include <gtest/gtest.h>

#include <mutex>
#include <set>
#include <thread>

#include "data/check.h"
#include "tests/support/golden.h"
#include "trainer/kernels/cpu_kernels.h"
#include "trainer/model/flops.h"
#include "trainer/model/heads.h"
#include "trainer/model/out_of_memory.h"

namespace berth::train {
namespace {

BertConfig small_config() {
  BertConfig config;
  config.vocab_size = 50;
  config.hidden_size = 64;
  config.num_hidden_layers = 3;
  config.num_attention_heads = 4;
  config.intermediate_size = 128;
  config.max_position_embeddings = 40;
  config.initializer_range = 0.08;
  config.label_names = {"a", "b", "c"};
  return config;
}

data::Batch batch_of(const std::vector<int>& samples) {
  data::Batch batch;
  batch.cu_samples = batch.cu_seqlens = {0};
  for (const int id : samples) {
    const int length = 1 + id * 7 % 31;
    for (int i = 0; i < length; ++i) {
      batch.input_ids.push_back(1 + (id * 31 + i * i * 17) % 49);
      batch.token_type_ids.push_back(i > length / 2);
      batch.position_ids.push_back(i);
    }
    batch.sample_ids.push_back(id);
    batch.sequence_ids.push_back(id);
    batch.cu_samples.push_back(batch.cu_samples.back() + 1);
    batch.cu_seqlens.push_back(batch.cu_seqlens.back() + length);
    batch.labels.push_back(id % 3);
  }
  return batch;
}

struct Fixture {
  explicit Fixture(const std::vector<std::string>& frozen = {}) {
    const Architecture& architecture = architecture_of(data::TaskKind::kSequenceClassification);
    const auto specs = architecture.parameters(small_config(), true);
    store = std::make_unique<ParameterStore>(specs, *comm, 1 << 16, frozen);
    store->initialize(specs, small_config().initializer_range, 9);
    model = architecture.make(small_config(), *store);
  }

  // Logits; the gradients of the loss sum are added to the store's.
  at::Tensor run(const std::vector<int>& samples, const ForwardContext& context) {
    const DeviceBatch batch = to_device(batch_of(samples), at::kCPU);
    const auto logits = model->logits(batch, context);
    model->loss_sums(logits, batch).sum().backward();
    store->check_grads_are_views();
    return logits[0].detach();
  }
  at::Tensor gradients() const {
    std::vector<at::Tensor> all;
    for (const Bucket& bucket : store->buckets())
      if (!bucket.frozen) all.push_back(bucket.grads);
    return at::cat(all).clone();
  }

  std::unique_ptr<comm::Communicator> comm = comm::make_local_communicator();
  std::unique_ptr<ParameterStore> store;
  std::unique_ptr<Model> model;
};

ForwardContext training(at::ScalarType type = at::kFloat) {
  ForwardContext context;
  context.training = true;
  context.step = 12;
  context.compute_type = type;
  return context;
}

TEST(Model, OrderAndMicroBatchesDoNotMatter) {
  Fixture together, apart;
  const at::Tensor logits = together.run({4, 9, 2, 11, 5, 20}, training());
  const at::Tensor first = apart.run({20, 2}, training()), second = apart.run({5, 11, 4}, training()),
                   third = apart.run({9}, training());
  EXPECT_LT(test::relative_error(at::stack({second[2], third[0], first[1], second[1], second[0], first[0]}), logits), 1e-5);
  EXPECT_LT(test::relative_error(apart.gradients(), together.gradients()), 1e-5);
}

TEST(Model, DropoutActsAndChangesWithTheStep) {
  Fixture fixture;
  ForwardContext context = training();
  const at::Tensor once = fixture.run({4, 9}, context), again = fixture.run({4, 9}, context);
  EXPECT_TRUE(once.equal(again));
  context.step = 13;
  EXPECT_FALSE(once.equal(fixture.run({4, 9}, context)));
  context.training = false;
  EXPECT_FALSE(once.equal(fixture.run({4, 9}, context)));
}

// What the head computes in training, with hidden_dropout_prob 0.4 and this classifier_dropout.
at::Tensor dropped(data::TaskKind task, const std::string& classifier_dropout) {
  const BertConfig small = small_config();
  nlohmann::json json = nlohmann::json::parse(small.to_json("X"));
  json["hidden_dropout_prob"] = 0.4;
  json["classifier_dropout"] = nlohmann::json::parse(classifier_dropout);
  const BertConfig config = BertConfig::parse(json.dump(), "test");
  const auto comm = comm::make_local_communicator();
  const auto specs = architecture_of(task).parameters(config, true);
  ParameterStore store(specs, *comm, 1 << 16);
  store.initialize(specs, config.initializer_range, 9);
  at::NoGradGuard no_grad;
  return architecture_of(task).make(config, store)->logits(to_device(batch_of({4, 9, 2}), at::kCPU), training())[0];
}

TEST(Model, ClassifierDropoutIsTheHiddenOneUnlessItIsANumber) {
  for (const data::TaskKind task : {data::TaskKind::kSequenceClassification, data::TaskKind::kTokenClassification}) {
    EXPECT_TRUE(dropped(task, "null").equal(dropped(task, "0.4")));
    EXPECT_FALSE(dropped(task, "null").equal(dropped(task, "0.0")));
    EXPECT_FALSE(dropped(task, "0.2").equal(dropped(task, "0.0")));
  }
}

TEST(Model, CheckpointingGivesTheSameBits) {
  Fixture plain, checkpointed;
  ForwardContext context = training();
  plain.run({4, 9, 2}, context);
  context.gradient_checkpointing = true;
  checkpointed.run({4, 9, 2}, context);
  EXPECT_TRUE(plain.gradients().equal(checkpointed.gradients()));
}

// The headers of libtorch make a plain loop of it where the compiler does not know OpenMP.
TEST(Model, WorkIsSharedAmongTheThreads) {
  const int before = at::get_num_threads();
  at::set_num_threads(3);
  std::mutex mutex;
  std::set<std::thread::id> threads;
  at::parallel_for(0, 3, 1, [&](int64_t, int64_t) {
    const std::lock_guard lock(mutex);
    threads.insert(std::this_thread::get_id());
  });
  at::set_num_threads(before);
  EXPECT_EQ(threads.size(), 3u);
}

TEST(Model, TheSameThreadsGiveTheSameBits) {
  const int before = at::get_num_threads();
  for (const int threads : {1, 2, 3}) {
    at::set_num_threads(threads);
    Fixture one, other;
    std::vector<int> samples(30);
    for (int i = 0; i < 30; ++i) samples[i] = i;
    one.run(samples, training());
    other.run(samples, training());
    EXPECT_TRUE(one.gradients().equal(other.gradients())) << threads;
  }
  at::set_num_threads(before);
}

// Hidden states of the rows that `read` names of all, with every gradient.
std::vector<at::Tensor> encode(const std::function<TokenRows(const DeviceBatch&)>& read, bool of_all) {
  Fixture fixture;
  data::Batch host = batch_of({4, 9, 2, 11});
  host.labels.assign(static_cast<size_t>(host.tokens()), data::kIgnoreIndex);
  for (size_t token = 1; token < host.labels.size(); token += 4) host.labels[token] = 1;
  const DeviceBatch batch = to_device(host, at::kCPU);
  const TokenRows rows = read(batch);
  const BertEncoder encoder(small_config(), *fixture.store);
  at::Tensor hidden = encoder.forward(batch, training(), of_all ? all_rows(batch) : rows);
  if (of_all) hidden = hidden.index_select(0, rows.places);
  const at::Tensor weights = at::arange(hidden.numel(), at::kFloat).view_as(hidden).sin();
  (hidden * weights).sum().backward();
  return {hidden.detach(), fixture.gradients()};
}

TEST(Encoder, TheLastLayerGivesTheRowsThatAreReadAsAllWouldBe) {
  const auto none = [](const DeviceBatch& batch) {
    TokenRows rows = target_rows(batch);
    return TokenRows{rows.places.narrow(0, 0, 0), {rows.ids.samples.narrow(0, 0, 0), rows.ids.positions.narrow(0, 0, 0)}};
  };
  const auto both = [](const DeviceBatch& batch) { return join(target_rows(batch), first_token_rows(batch)); };
  for (const auto& read : std::vector<std::function<TokenRows(const DeviceBatch&)>>{first_token_rows, target_rows, both}) {
    const auto some = encode(read, /*of_all=*/false), all = encode(read, /*of_all=*/true);
    EXPECT_LT(test::relative_error(some[0], all[0]), 1e-6);
    EXPECT_LT(test::relative_error(some[1], all[1]), 1e-5);
    EXPECT_GT(all[1].abs().max().item<float>(), 0);
  }
  EXPECT_EQ(encode(none, false)[0].size(0), 0);
  EXPECT_EQ(encode(none, false)[1].abs().max().item<float>(), 0);
}

TEST(Model, AnnouncesEveryGradientOncePerPass) {
  for (const bool checkpointing : {false, true}) {
    Fixture fixture(
        {"bert.embeddings.position_embeddings.weight", "bert.encoder.layer.1.attention.self.key.bias", "classifier.bias"});
    std::map<int, int> announced;
    fixture.store->set_grad_ready_callback([&](int parameter) { ++announced[parameter]; });
    ForwardContext context = training();
    context.gradient_checkpointing = checkpointing;
    fixture.run({4, 9, 2}, context);
    for (const Parameter& parameter : fixture.store->parameters())
      EXPECT_EQ(announced[parameter.index], parameter.frozen ? 0 : 1) << parameter.name;
  }
}

TEST(Model, FrozenEncoderTrainsTheHeadAlone) {
  for (const bool checkpointing : {false, true})
    for (const bool only_embeddings : {false, true}) {
      Fixture all, part([&] {
        std::vector<std::string> frozen;
        for (const ParameterSpec& spec : encoder_parameters(small_config(), false, true))
          if (!only_embeddings || spec.name.starts_with("bert.embeddings.")) frozen.push_back(spec.name);
        return frozen;
      }());
      ForwardContext context = training();
      context.gradient_checkpointing = checkpointing;
      all.run({4, 9, 2}, context);
      part.run({4, 9, 2}, context);
      for (const Parameter& parameter : part.store->parameters()) {
        if (parameter.frozen) continue;
        EXPECT_TRUE(parameter.grad.equal((*all.store)[parameter.name].grad)) << parameter.name;
      }
    }
}

TEST(Model, OnlyTouchedWordRowsHaveGradients) {
  Fixture fixture;
  fixture.run({4, 9}, training());
  const at::Tensor touched = fixture.store->find("bert.embeddings.word_embeddings.weight")->grad.abs().sum(1).gt(0);
  const data::Batch batch = batch_of({4, 9});
  for (int32_t row = 0; row < 50; ++row)
    EXPECT_EQ(touched[row].item<bool>(), std::count(batch.input_ids.begin(), batch.input_ids.end(), row) > 0) << row;
}

// With this CPU's kernels, and as on one that multiplies no bf16.
class Bf16Test : public testing::TestWithParam<bool> {
 protected:
  Bf16Test() {
    if (GetParam()) register_kernels(at::kCPU, by_fp32_);
  }
  ~Bf16Test() override { register_kernels(at::kCPU, before_); }

 private:
  const Kernels& before_ = kernels_of(at::empty({1}));
  const CpuKernels by_fp32_{cpu::best_table(), false};
};

INSTANTIATE_TEST_SUITE_P(, Bf16Test, testing::Bool(),
                         [](const auto& test) { return test.param ? "products_in_fp32" : "as_this_cpu"; });

TEST_P(Bf16Test, StaysNearFp32) {
  Fixture exact, rounded;
  rounded.store->enable_compute_copy(at::kBFloat16);
  const at::Tensor logits = exact.run({4, 9, 2, 11, 5, 20, 3}, training());
  const at::Tensor near = rounded.run({4, 9, 2, 11, 5, 20, 3}, training(at::kBFloat16));
  EXPECT_EQ(near.scalar_type(), at::kBFloat16);
  EXPECT_LT(test::relative_error(near, logits), 0.03);
  const at::Tensor a = rounded.gradients(), b = exact.gradients();
  EXPECT_LT(((a - b).norm() / b.norm()).item<double>(), 0.02);
  for (const Parameter& parameter : exact.store->parameters()) {
    if (parameter.name.ends_with("key.bias")) continue;  // zero but for rounding
    const at::Tensor g = (*rounded.store)[parameter.name].grad;
    EXPECT_LT(((g - parameter.grad).norm() / parameter.grad.norm()).item<double>(), 0.06) << parameter.name;
  }
}

TEST(Model, Bf16WithoutItsCopyIsRefused) {
  Fixture fixture;
  EXPECT_THROW(fixture.run({4}, training(at::kBFloat16)), Error);
}

TEST(Model, IdsOutsideTheirTablesAreRefused) {
  Fixture fixture;
  for (const auto& spoil : std::initializer_list<std::function<void(data::Batch&)>>{
           [](data::Batch& b) { b.input_ids[1] = 50; }, [](data::Batch& b) { b.input_ids[1] = -1; },
           [](data::Batch& b) { b.position_ids[1] = 40; }, [](data::Batch& b) { b.token_type_ids[1] = 2; }}) {
    data::Batch batch = batch_of({4, 9});
    spoil(batch);
    EXPECT_THROW(fixture.model->logits(to_device(batch, at::kCPU), {}), Error);
  }
  data::Batch torn = batch_of({4, 9});
  torn.cu_seqlens.back() -= 1;
  EXPECT_THROW(to_device(torn, at::kCPU), Error);
}

TEST(DeviceBatch, HoldsWhatTheHostKnows) {
  data::Batch host = batch_of({4, 9});
  host.labels.assign(static_cast<size_t>(host.tokens()), data::kIgnoreIndex);
  host.labels[3] = 7, host.labels[12] = 0;
  const DeviceBatch batch = to_device(host, at::kCPU);
  const auto equals = [](const at::Tensor& tensor, const auto& values) {
    return at::equal(tensor.to(at::kLong), at::tensor(std::vector<int64_t>(values.begin(), values.end())));
  };
  EXPECT_TRUE(equals(batch.cu_samples, host.cu_samples));
  EXPECT_TRUE(equals(batch.sequence_ids, host.sequence_ids));
  EXPECT_TRUE(equals(batch.cu_seqlens, host.cu_seqlens));
  EXPECT_TRUE(equals(batch.input_ids, host.input_ids));
  EXPECT_TRUE(equals(batch.token_type_ids, host.token_type_ids));
  EXPECT_TRUE(equals(batch.position_ids, host.position_ids));
  EXPECT_TRUE(equals(batch.labels, host.labels));
  EXPECT_EQ(batch.float_labels.numel(), 0);
  EXPECT_TRUE(equals(batch.targets, std::vector<int64_t>{3, 12}));
  EXPECT_TRUE(equals(batch.first_tokens, std::vector<int64_t>{0, host.cu_seqlens[1]}));
  EXPECT_TRUE(equals(batch.first_positions, std::vector<int64_t>{0, 0}));
  for (int64_t token = 0; token < host.tokens(); ++token)
    EXPECT_EQ(batch.token_sequences[token].item<int64_t>(), host.sample_ids[token < host.cu_seqlens[1] ? 0 : 1]);
  EXPECT_EQ(batch.max_seqlen, std::max(host.cu_seqlens[1], host.cu_seqlens[2] - host.cu_seqlens[1]));
  for (const at::Tensor& tensor : {batch.sequence_ids, batch.input_ids, batch.labels, batch.targets})
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) % 64, 0u);
}

TEST(OutOfMemory, IsWhatTheAllocatorSaysAndWhatItFailsOnOnASliceOfAGpu) {
  const c10::SourceLocation here{__func__, __FILE__, __LINE__};
  EXPECT_TRUE(is_out_of_memory(c10::OutOfMemoryError(here, "CUDA out of memory. Tried to allocate 2.00 GiB.")));
  EXPECT_TRUE(is_out_of_memory(c10::Error(here, "NVML_SUCCESS == r INTERNAL ASSERT FAILED at CUDACachingAllocator.cpp")));
  EXPECT_FALSE(is_out_of_memory(c10::Error(here, "CUDA error: an illegal memory access was encountered")));
}

// Counted by hand: a layer has 4 x 64 x 64 + 2 x 64 x 128 = 32768 elements of matrices.
TEST(ModelFlops, SixForEachElementOfAMatrixAndTwelveForEachPair) {
  const ModelFlops flops = model_flops(*Fixture().store, small_config());
  EXPECT_EQ(flops.per_token, 6 * 3 * 32768);
  EXPECT_EQ(flops.per_pair, 12 * 3 * 64);
  EXPECT_EQ(flops.of(100, 1000), 6 * 3 * 32768 * 100.0 + 12 * 3 * 64 * 1000.0);
  EXPECT_EQ(batch_of({1, 2, 3}).pairs(), 8 * 8 + 15 * 15 + 22 * 22);
}

// Layer 0 is only passed forward; into layer 1 no gradient goes from its queries, keys and values.
TEST(ModelFlops, WhatIsFrozenTakesNoGradient) {
  std::vector<std::string> frozen;
  const Fixture whole;
  for (const Parameter& parameter : whole.store->parameters())
    if (parameter.name.find("embeddings.") != std::string::npos || parameter.name.find("layer.0.") != std::string::npos)
      frozen.push_back(parameter.name);
  const ModelFlops flops = model_flops(*Fixture(frozen).store, small_config());
  EXPECT_EQ(flops.per_token, 2 * 32768 + (6 * 32768 - 2 * 3 * 64 * 64) + 6 * 32768);
  EXPECT_EQ(flops.per_pair, (4 + 12 + 12) * 64);
}

}  // namespace
}  // namespace berth::train
