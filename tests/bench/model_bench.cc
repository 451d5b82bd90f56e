// Milliseconds of processor time of one forward and backward pass of a MiniLM-shaped classifier on random weights, dropout on,
// one thread.
//
//     build/model_bench
#include <malloc.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "data/philox.h"
#include "trainer/kernels/dispatch.h"
#include "trainer/model/heads.h"

namespace berth::train {
namespace {

data::Batch make_batch(const std::vector<int>& lengths, int vocab_size) {
  data::Batch batch;
  batch.cu_samples = batch.cu_seqlens = {0};
  for (size_t b = 0; b < lengths.size(); ++b) {
    batch.sample_ids.push_back(static_cast<int64_t>(b));
    batch.sequence_ids.push_back(static_cast<int64_t>(b));
    batch.cu_samples.push_back(batch.cu_samples.back() + 1);
    batch.labels.push_back(static_cast<int32_t>(b % 2));
    for (int i = 0; i < lengths[b]; ++i) {
      batch.input_ids.push_back(
          static_cast<int32_t>(philox({static_cast<uint32_t>(b), static_cast<uint32_t>(i), 0, 0}, {1, 1})[0] % vocab_size));
      batch.token_type_ids.push_back(0);
      batch.position_ids.push_back(i);
    }
    batch.cu_seqlens.push_back(batch.cu_seqlens.back() + lengths[b]);
  }
  return batch;
}

struct Timing {
  double minimum, median;
};

// The calling thread's processor time, so that a busy machine disturbs less. Wants one thread.
double thread_milliseconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6;
}

template <class Function>
Timing measure(int repeats, const Function& f) {
  std::vector<double> times;
  for (int i = -2; i < repeats; ++i) {
    const double start = thread_milliseconds();
    f();
    if (i >= 0) times.push_back(thread_milliseconds() - start);
  }
  std::sort(times.begin(), times.end());
  return {times.front(), times[times.size() / 2]};
}

void bench(const char* name, const std::vector<int>& lengths, at::ScalarType type, int repeats) {
  BertConfig config;
  config.hidden_size = 384;
  config.num_hidden_layers = 6;
  config.intermediate_size = 1536;
  config.label_names = {"no", "yes"};
  const auto comm = comm::make_local_communicator();
  const Architecture& architecture = architecture_of(data::TaskKind::kSequenceClassification);
  const auto specs = architecture.parameters(config, true);
  ParameterStore store(specs, *comm, 25 << 20);
  store.initialize(specs, config.initializer_range, 1);
  if (type == at::kBFloat16) store.enable_compute_copy(at::kBFloat16);
  const auto model = architecture.make(config, store);
  const data::Batch host = make_batch(lengths, static_cast<int>(config.vocab_size));
  const DeviceBatch batch = to_device(host, at::kCPU);
  ForwardContext context;
  context.training = true;
  context.compute_type = type;
  const auto forward = [&] { return model->loss_sums(model->logits(batch, context), batch).sum(); };
  const Timing inference = measure(repeats, [&] {
    at::NoGradGuard no_grad;
    forward();
  });
  const Timing both = measure(repeats, [&] {
    ++context.step;
    forward().backward();
  });
  std::printf("%-26s %-5s forward %8.1f (min %8.1f)   forward + backward %8.1f (min %8.1f) ms\n", name,
              type == at::kFloat ? "fp32" : "bf16", inference.median, inference.minimum, both.median, both.minimum);
  std::fflush(stdout);
}

}  // namespace
}  // namespace berth::train

int main() {
  using namespace berth::train;
  if (!std::getenv("MODEL_BENCH_PLAIN_MALLOC")) {
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
  }
  at::set_num_threads(1);
  std::printf("kernels: %s\n", cpu::best_table().name);
  // 16 sentences of SST-2's lengths (214 tokens), and long rows.
  const std::vector<int> sentences = {4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 24, 27};
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    bench("16 sentences, 214 tokens", sentences, type, 15);
    bench("4 x 128 tokens", std::vector<int>(4, 128), type, 7);
    bench("32 x 128 tokens", std::vector<int>(32, 128), type, 3);
  }
}
