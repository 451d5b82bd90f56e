// Sums gradients over ranks, bucket by bucket, while backward is still computing.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "trainer/comm/communicator.h"
#include "trainer/model/parameters.h"
#include "trainer/optim/device_step.h"
#include "trainer/optim/row_set.h"

namespace berth::train {

// Usage, once per optimizer step:
//   reducer.begin(rows);                  // all ranks; also zeroes the gradients
//   for each micro-batch: reducer.set_last(is_last); forward; backward   (ParameterStore announces gradients that are ready)
//   reducer.finish();                     // gradients are now the sums over all ranks (of buckets that are cut, in this rank's part)
// Buckets are started in the order of ParameterStore::buckets(), the same on all ranks, whatever order they become ready in, and
// only in the last micro-batch. A rank without any micro-batch just calls begin and finish; a parameter that a step does not use
// counts as zero. Between begin and finish a rank makes no other collective that others might make at another point.
//
// There is at most one GradKind::kRows bucket: a table [V, H], of whose gradient only the rows that some rank touches are zeroed,
// packed and reduced.
class GradReducer {
 public:
  // Takes over the store's grad-ready callback. Both must outlive it.
  GradReducer(ParameterStore& parameters, comm::Communicator& comm);
  ~GradReducer();
  GradReducer(const GradReducer&) = delete;
  GradReducer& operator=(const GradReducer&) = delete;

  // The rows of the kRows table, 0 if there is none.
  int64_t table_rows() const { return table_grad_.defined() ? table_grad_.size(0) : 0; }

  // `rows`: of the kRows table, those that the samples of any rank touch in this step; the same on all ranks.
  void begin(const RowSet& rows);
  void set_last(bool last_micro_batch) { last_ = last_micro_batch; }
  void finish();  // also checks that gradients are still views of their buckets

  // After begin(): rows that any rank touches in this step, sorted. Only these may be non-zero in the kRows bucket's gradient.
  const std::vector<int32_t>& touched_rows() const { return touched_; }
  // After finish(): the same on the device, with their gradient.
  TouchedRows touched() const;

 private:
  void mark_ready(int parameter);
  void start(size_t bucket);
  void touch(const RowSet& rows);
  void start_sum(const Bucket& bucket);
  void start_sum_of_rows(const Bucket& bucket);
  at::Tensor packed_rows() const { return packed_.slice(0, 0, touched_index_.numel()); }

  ParameterStore& parameters_;
  comm::Communicator& comm_;
  std::vector<bool> ready_;            // by parameter, in the last micro-batch
  std::vector<int> missing_;           // parameters of each bucket that are not ready yet
  std::vector<comm::Ticket> tickets_;  // of the buckets started
  size_t next_ = 0;                    // bucket to be started
  bool last_ = false;

  at::Tensor table_grad_;  // [V, H], a view of the kRows bucket; undefined if there is none
  std::vector<int32_t> touched_;
  std::vector<int64_t> touched_ends_;  // of the touched rows in each part of the table, if sharers have parts
  at::Tensor touched_index_;           // [touched] int64, on the device
  at::Tensor packed_;                  // [capacity, H]: the touched rows, allocated by the communicator
};

}  // namespace berth::train
