#include "trainer/run/replicas.h"

#include <atomic>
#include <cstring>
#include <numeric>
#include <vector>

#include "data/words.h"
#include "trainer/comm/agree.h"
#include "trainer/kernels/optimizer.h"

namespace berth::train {
namespace {

uint64_t sum_bits(const float* x, int64_t begin, int64_t end) {
  uint64_t sum = 0;
  for (int64_t i = begin; i < end; ++i) {
    uint64_t word;
    std::memcpy(&word, x + 2 * i, sizeof word);
    sum += word * static_cast<uint64_t>(2 * i + 1);
  }
  return sum;
}

std::vector<uint64_t> sums_on_host(const std::vector<Bucket>& buckets) {
  std::vector<uint64_t> sums;
  for (const Bucket& bucket : buckets) {
    std::atomic<uint64_t> sum = 0;
    const at::Tensor values = bucket.values.cpu();
    at::parallel_for(0, values.numel() / 2, int64_t{1} << 16,
                     [&](int64_t begin, int64_t end) { sum += sum_bits(values.const_data_ptr<float>(), begin, end); });
    sums.push_back(sum);
  }
  return sums;
}

// One wait for all of it.
std::vector<uint64_t> sums_on_device(const std::vector<Bucket>& buckets, const OptimizerKernels& kernels) {
  std::vector<int64_t> counts;
  for (const Bucket& bucket : buckets) counts.push_back(kernels.partial_sums(bucket.values.numel()));
  const auto all = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  const at::Tensor partials = at::empty({all}, buckets.front().values.options().dtype(at::kLong));
  int64_t at = 0;
  for (size_t b = 0; b < buckets.size(); at += counts[b++])
    kernels.sum_bits(buckets[b].values, partials.narrow(0, at, counts[b]));
  const at::Tensor host = partials.cpu();
  const auto* next = reinterpret_cast<const uint64_t*>(host.const_data_ptr<int64_t>());
  std::vector<uint64_t> sums;
  for (int64_t count : counts) {
    sums.push_back(std::accumulate(next, next + count, uint64_t{0}));
    next += count;
  }
  return sums;
}

}  // namespace

uint64_t parameter_hash(const ParameterStore& parameters) {
  const at::NoGradGuard no_grad;
  const std::vector<Bucket>& buckets = parameters.buckets();
  const OptimizerKernels* kernels = optimizer_kernels(buckets.front().values.device().type());
  uint64_t hash = 0xcbf29ce484222325;
  for (uint64_t sum : kernels != nullptr ? sums_on_device(buckets, *kernels) : sums_on_host(buckets))
    hash = (hash ^ sum) * 0x100000001b3;
  return hash;
}

void check_replicas(const ParameterStore& parameters, comm::Communicator& comm, int64_t step) {
  const uint64_t own = parameter_hash(parameters);
  const auto hashes = comm.all_gather(std::string(reinterpret_cast<const char*>(&own), sizeof(own)));
  std::vector<size_t> different;
  for (size_t rank = 1; rank < hashes.size(); ++rank)
    if (hashes[rank] != hashes[0]) different.push_back(rank);
  if (!different.empty())
    throw comm::AgreedError(ExitCode::kDiverged, concat("after step ", step, " the parameters of rank ", joined(different),
                                                        " are not those of rank 0: a fault of hardware or of a library; nothing "
                                                        "was saved. Resume from the last checkpoint, without that host"));
}

}  // namespace berth::train
