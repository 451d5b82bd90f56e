// The time of each kernel for rows on a GPU, bf16, dropout 0.1, as GB/s of what it must read and write at least. Kernels run one after
// the other over several sets of arrays, so that what a kernel reads is not in the L2 cache.
#include <algorithm>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "trainer/kernels/cuda/kernels.h"

namespace {

using namespace berth::train;
using namespace berth::train::cuda;
using kernels::Bf16;

void check(cudaError_t error) {
  if (error == cudaSuccess) return;
  fprintf(stderr, "%s\n", cudaGetErrorString(error));
  exit(1);
}

template <class T>
T* device_array(int64_t count, const std::function<T(int64_t)>& value) {
  std::vector<T> values(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) values[static_cast<size_t>(i)] = value(i);
  T* memory;
  check(cudaMalloc(&memory, values.size() * sizeof(T)));
  check(cudaMemcpy(memory, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
  return memory;
}
float number(int64_t i) { return static_cast<float>((i * 2654435761u) % 2000) / 1000.f - 1.f; }
float* floats(int64_t count) { return device_array<float>(count, number); }
Bf16* bf16s(int64_t count) {
  return device_array<Bf16>(count, [](int64_t i) {
    const float x = number(i);
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return Bf16{static_cast<uint16_t>(bits >> 16)};
  });
}

constexpr int kSets = 6;  // of 4096 x 768 x 2 bytes and more each, several arrays a kernel: beyond an H100's 50 MB
constexpr int kRounds = 15;

// run(i): with the arrays of set i. bytes: of one run.
void measure(const std::string& name, double bytes, const std::function<void(int)>& run) {
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin));
  check(cudaEventCreate(&end));
  std::vector<float> times;
  for (int round = 0; round < kRounds + 2; ++round) {
    check(cudaEventRecord(begin));
    for (int i = 0; i < kSets; ++i) run(i);
    check(cudaEventRecord(end));
    check(cudaEventSynchronize(end));
    float ms;
    check(cudaEventElapsedTime(&ms, begin, end));
    if (round >= 2) times.push_back(ms * 1000 / kSets);
  }
  std::sort(times.begin(), times.end());
  const double us = times[times.size() / 2];
  printf("%-34s %8.2f us %8.0f GB/s\n", name.c_str(), us, bytes / us * 1e-3);
}

struct Set {
  Bf16 *a, *b, *c, *d;
  float *f, *rstd;
};
std::vector<Set> sets_of(int64_t rows, int64_t columns) {
  std::vector<Set> sets = {{bf16s(rows * columns), bf16s(rows * columns), bf16s(rows * columns), bf16s(rows * columns),
                            floats(rows * columns), floats(rows)}};
  const auto copy = [](const auto* from, int64_t count) {
    void* memory;
    check(cudaMalloc(&memory, static_cast<size_t>(count) * sizeof(*from)));
    check(cudaMemcpy(memory, from, static_cast<size_t>(count) * sizeof(*from), cudaMemcpyDeviceToDevice));
    return static_cast<std::remove_cvref_t<decltype(*from)>*>(memory);
  };
  while (sets.size() < kSets) {
    const Set& s = sets.front();
    const int64_t n = rows * columns;
    sets.push_back({copy(s.a, n), copy(s.b, n), copy(s.c, n), copy(s.d, n), copy(s.f, n), copy(s.rstd, rows)});
  }
  return sets;
}
void release(const std::vector<Set>& sets) {
  for (const Set& s : sets)
    for (void* p : {static_cast<void*>(s.a), static_cast<void*>(s.b), static_cast<void*>(s.c), static_cast<void*>(s.d),
                    static_cast<void*>(s.f), static_cast<void*>(s.rstd)})
      check(cudaFree(p));
}

void rows_of(int64_t rows, int64_t columns) {
  const std::string shape = " " + std::to_string(rows) + " x " + std::to_string(columns);
  const double n = static_cast<double>(rows * columns);
  const std::vector<Set> sets = sets_of(rows, columns);
  int64_t* samples = device_array<int64_t>(rows, [](int64_t i) { return i / 128; });
  int32_t* positions = device_array<int32_t>(rows, [](int64_t i) { return static_cast<int32_t>(i % 128); });
  constexpr int64_t kVocabulary = 30522;
  int32_t* word_ids = device_array<int32_t>(rows, [](int64_t i) { return static_cast<int32_t>(i * 48271 % kVocabulary); });
  int32_t* type_ids = device_array<int32_t>(rows, [](int64_t) { return 0; });
  int32_t* in_order = device_array<int32_t>(rows, [](int64_t i) { return static_cast<int32_t>(i); });
  std::vector<int32_t> by_word(static_cast<size_t>(rows));
  for (int64_t i = 0; i < rows; ++i) by_word[static_cast<size_t>(i)] = static_cast<int32_t>(i);
  std::stable_sort(by_word.begin(), by_word.end(),
                   [](int32_t a, int32_t b) { return a * int64_t{48271} % kVocabulary < b * int64_t{48271} % kVocabulary; });
  int32_t* order = device_array<int32_t>(rows, [&](int64_t i) { return by_word[static_cast<size_t>(i)]; });
  float *gamma = floats(columns), *beta = floats(columns), *sums = floats(3 * columns), *table = floats(kVocabulary * columns),
        *table_grad = floats(kVocabulary * columns), *few = floats(512 * columns);
  float* workspace = floats(std::max({add_norm_backward_workspace(rows, columns), add_column_sums_workspace(rows, columns),
                                      scatter_rows_workspace(rows, columns)}));
  const kernels::RowArgs row_args{samples, positions, columns};
  const kernels::DropoutArgs dropout{1, 2, 1677722, 1 / 0.9f};
  const auto norm = [&](int i, float p) {
    kernels::DropoutArgs d = dropout;
    if (p == 0) d.threshold = 0;
    return kernels::NormArgs<Bf16>{
        row_args, d, gamma, beta, 1e-12f, sets[static_cast<size_t>(i)].d, sets[static_cast<size_t>(i)].rstd};
  };
  const auto set = [&](int i) -> const Set& { return sets[static_cast<size_t>(i)]; };

  for (const float p : {0.1f, 0.f}) {
    const std::string with = p > 0 ? "" : ", no dropout";
    measure("add_norm_forward" + shape + with, n * 8,
            [&](int i) { add_norm_forward(norm(i, p), set(i).a, set(i).b, set(i).c, rows, nullptr); });
    measure("add_norm_backward" + shape + with, n * (p > 0 ? 8 : 6), [&](int i) {
      add_norm_backward(norm(i, p), set(i).a, set(i).b, set(i).c, sums, sums + columns, sums + 2 * columns, rows, workspace,
                        nullptr);
    });
  }
  measure("embed_forward" + shape, n * (4 + 2 + 2), [&](int i) {
    embed_forward(norm(i, 0.1f), {table, few, few, word_ids, positions, type_ids}, set(i).c, rows, nullptr);
  });
  measure("embed_backward" + shape, n * (2 + 2 + 4),
          [&](int i) { embed_backward(norm(i, 0.1f), set(i).a, set(i).f, sums, sums + columns, rows, workspace, nullptr); });
  measure("scatter words" + shape, n * 12,
          [&](int i) { scatter_rows(set(i).f, word_ids, order, rows, columns, -1, table_grad, workspace, nullptr); });
  measure("scatter types" + shape, n * 4,
          [&](int i) { scatter_rows(set(i).f, type_ids, in_order, rows, columns, -1, table_grad, workspace, nullptr); });
  measure("dropout_rows" + shape, n * 4, [&](int i) { dropout_rows(row_args, dropout, set(i).a, set(i).b, rows, nullptr); });
  measure("add_column_sums" + shape, n * 2,
          [&](int i) { add_column_sums(set(i).a, rows, columns, columns, sums, workspace, nullptr); });
  release(sets);
  for (void* p : {static_cast<void*>(samples), static_cast<void*>(positions), static_cast<void*>(word_ids),
                  static_cast<void*>(type_ids), static_cast<void*>(in_order), static_cast<void*>(order),
                  static_cast<void*>(gamma), static_cast<void*>(beta), static_cast<void*>(sums), static_cast<void*>(table),
                  static_cast<void*>(table_grad), static_cast<void*>(few), static_cast<void*>(workspace)})
    check(cudaFree(p));
}

void activations_of(int64_t rows, int64_t columns) {
  const std::string shape = " " + std::to_string(rows) + " x " + std::to_string(columns);
  const double n = static_cast<double>(rows * columns);
  const std::vector<Set> sets = sets_of(rows, columns);
  const auto set = [&](int i) -> const Set& { return sets[static_cast<size_t>(i)]; };
  float *sums = floats(columns), *workspace = floats(activation_backward_workspace(rows, columns));
  for (const auto& [name, activation] : {std::pair("gelu", Activation::kGelu), std::pair("gelu_new", Activation::kGeluNew)}) {
    measure(std::string(name) + " forward" + shape, n * 4,
            [&](int i) { activation_forward(activation, set(i).a, set(i).b, rows * columns, nullptr); });
    measure(std::string(name) + " backward" + shape, n * 6, [&](int i) {
      activation_backward(activation, set(i).a, set(i).b, set(i).c, sums, rows, columns, workspace, nullptr);
    });
  }
  measure("add_column_sums" + shape, n * 2,
          [&](int i) { add_column_sums(set(i).a, rows, columns, columns, sums, workspace, nullptr); });
  release(sets);
}

void losses_of(int64_t rows, int64_t classes, int64_t stride) {
  const std::string shape = " " + std::to_string(rows) + " x " + std::to_string(classes);
  const double n = static_cast<double>(rows * classes);
  const std::vector<Set> sets = sets_of(rows, stride);
  const auto set = [&](int i) -> const Set& { return sets[static_cast<size_t>(i)]; };
  int64_t* labels = device_array<int64_t>(rows, [&](int64_t i) { return i * 48271 % classes; });
  float *lse = floats(rows), *workspace = floats(rows), *loss = floats(1);
  const auto args = [&](int i) { return CrossEntropyArgs<Bf16>{set(i).a, stride, labels, rows, classes, 0, lse}; };
  measure("cross_entropy_forward" + shape, n * 2, [&](int i) { cross_entropy_forward(args(i), loss, workspace, nullptr); });
  measure("cross_entropy_backward" + shape, n * 4, [&](int i) { cross_entropy_backward(args(i), loss, set(i).b, nullptr); });
  release(sets);
}

}  // namespace

int main() {
  cudaDeviceProp device;
  check(cudaGetDeviceProperties(&device, 0));
  printf("%s, %d multiprocessors, bf16, dropout 0.1\n", device.name, device.multiProcessorCount);
  rows_of(4096, 768);
  rows_of(4096, 1024);
  activations_of(4096, 3072);
  activations_of(4096, 4096);
  losses_of(614, 30522, 30528);
  losses_of(614, 30522, 30522);
  losses_of(4096, 9, 9);
  check(cudaDeviceSynchronize());
}
