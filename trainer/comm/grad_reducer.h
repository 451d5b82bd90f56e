// Sums gradients over ranks, bucket by bucket, while backward is still computing.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "trainer/comm/communicator.h"
#include "trainer/model/parameters.h"

namespace berth::comm {

// Usage, once per optimizer step:
//   reducer.begin(touched_rows);          // all ranks; also zeroes the gradients
//   for each micro-batch: reducer.set_last(is_last); forward; backward   (leaf hooks call mark_ready)
//   reducer.finish();                     // gradients are now the sums over all ranks
// Buckets are started in a fixed order, the same on all ranks, whatever order they become ready in; a rank without any micro-batch just calls begin and finish.
class GradReducer {
 public:
  GradReducer(train::ParameterStore& parameters, Communicator& comm);
  ~GradReducer();

  // `rows`: the rows of the GradKind::kRows table that this rank's samples touch in this step (its input ids, unique and sorted).
  void begin(std::span<const int32_t> rows);
  void set_last(bool last_micro_batch);
  void finish();

  // After begin(): rows that any rank touches in this step, sorted. Only these may be non-zero in the kRows bucket's gradient.
  const std::vector<int32_t>& touched_rows() const { return touched_; }

 private:
  std::vector<int32_t> touched_;
};

}  // namespace berth::comm
