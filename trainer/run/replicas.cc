#include "trainer/run/replicas.h"

#include <array>
#include <cstring>

#include "data/words.h"
#include "trainer/comm/agree.h"

namespace berth::train {
namespace {

constexpr uint64_t kPrime = 0x100000001b3;

uint64_t hash_bytes(const char* bytes, size_t size, uint64_t seed) {
  std::array<uint64_t, 8> lanes;
  for (size_t lane = 0; lane < lanes.size(); ++lane) lanes[lane] = (seed ^ 0xcbf29ce484222325) + lane;
  size_t i = 0;
  for (; i + 64 <= size; i += 64) {
    std::array<uint64_t, 8> words;
    std::memcpy(words.data(), bytes + i, 64);
    for (size_t lane = 0; lane < 8; ++lane) lanes[lane] = (lanes[lane] ^ words[lane]) * kPrime;
  }
  for (; i < size; ++i) lanes[0] = (lanes[0] ^ static_cast<unsigned char>(bytes[i])) * kPrime;
  uint64_t hash = seed;
  for (uint64_t lane : lanes) hash = (hash ^ lane ^ (lane >> 32)) * kPrime;
  return hash;
}

}  // namespace

uint64_t parameter_hash(ParameterStore& parameters) {
  uint64_t hash = 0;
  for (const Bucket& bucket : parameters.buckets()) {
    const at::Tensor values = bucket.values.to(at::kCPU);
    hash = hash_bytes(static_cast<const char*>(values.const_data_ptr()), values.nbytes(), hash);
  }
  return hash;
}

void check_replicas(ParameterStore& parameters, comm::Communicator& comm, int64_t step) {
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
