#include "data/pipeline/prefetcher.h"

namespace berth::data {

std::vector<Batch> read_batches(const Split& split, const RankShare& share) {
  std::vector<Batch> batches(share.size());
  for (size_t i = 0; i < share.size(); ++i) split.read(share[i], batches[i]);
  return batches;
}

}  // namespace berth::data
