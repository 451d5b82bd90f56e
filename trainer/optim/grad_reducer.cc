#include "trainer/optim/grad_reducer.h"

#include <algorithm>

#include "data/check.h"
#include "trainer/model/upload.h"
#include "trainer/trace/range.h"

namespace berth::train {

GradReducer::GradReducer(ParameterStore& parameters, comm::Communicator& comm) : parameters_(parameters), comm_(comm) {
  for (const Bucket& bucket : parameters_.buckets()) {
    if (bucket.kind != GradKind::kRows) continue;
    check_internal(!table_grad_.defined() && bucket.parameters.size() == 1, "more than one table of GradKind::kRows");
    table_grad_ = parameters_.parameters()[bucket.parameters[0]].grad;
    check_internal(table_grad_.dim() == 2, "a parameter of GradKind::kRows is not a table");
  }
  touched_index_ = at::empty({0}, at::TensorOptions(comm_.device()).dtype(at::kLong));
  parameters_.set_grad_ready_callback([this](int parameter) { mark_ready(parameter); });
}

GradReducer::~GradReducer() { parameters_.set_grad_ready_callback({}); }

void GradReducer::begin(const RowSet& rows) {
  at::NoGradGuard no_grad;
  next_ = 0;
  last_ = false;
  tickets_.clear();
  missing_.clear();
  ready_.assign(parameters_.parameters().size(), false);
  for (Bucket& bucket : parameters_.buckets()) {
    missing_.push_back(bucket.frozen ? 0 : static_cast<int>(bucket.parameters.size()));
    // A GPU fills a bucket at once: slots between weights would be launches.
    if (!bucket.frozen && bucket.kind == GradKind::kDense) parameters_.clear_grads(bucket, comm_.device().is_cpu());
  }
  if (!table_grad_.defined()) return;
  table_grad_.index_fill_(0, touched_index_, 0);  // of the step before
  touch(rows);
}

void GradReducer::touch(const RowSet& rows) {
  const int64_t table_rows = table_grad_.size(0), width = table_grad_.size(1);
  touched_ = rows.rows();
  const std::vector<int64_t> index(touched_.begin(), touched_.end());
  const int64_t count = std::ssize(index);
  touched_index_ = uploaded(std::span<const int64_t>(index), comm_.device());
  if (packed_.defined() && packed_.size(0) >= count) return;
  const int64_t capacity = std::min(table_rows, 2 * count);
  packed_ = comm_.allocate(capacity * width).view({capacity, width});
}

void GradReducer::mark_ready(int parameter) {
  // Autograd runs the hook of a leaf that an autograd Function takes as input even if no gradient comes out of it, after the
  // Function has announced its own.
  if (!last_ || ready_[parameter]) return;
  ready_[parameter] = true;
  --missing_[parameters_.parameters()[parameter].bucket];
  for (; next_ < missing_.size() && missing_[next_] == 0; ++next_) start(next_);
}

void GradReducer::start(size_t index) {
  const Bucket& bucket = parameters_.buckets()[index];
  if (bucket.frozen) return;
  const trace::Range range("all-reduce bucket");
  if (bucket.kind == GradKind::kDense)
    start_sum(bucket);
  else if (!touched_.empty())
    start_sum_of_rows(bucket);
}

void GradReducer::start_sum(const Bucket& bucket) {
  parameters_.complete_grads(bucket);
  if (!bucket.part_ends.empty())
    tickets_.push_back(comm_.start_reduce_to_sharers(bucket.grads, bucket.part_ends));
  else
    tickets_.push_back(bucket.is_cut ? comm_.start_reduce_scatter(bucket.grads) : comm_.start_all_reduce(bucket.grads));
}

void GradReducer::start_sum_of_rows(const Bucket& bucket) {
  at::NoGradGuard no_grad;
  at::Tensor packed = packed_rows();
  at::index_select_out(packed, table_grad_, 0, touched_index_);
  const int64_t width = table_grad_.size(1);
  touched_ends_.clear();
  std::vector<int64_t> ends;
  for (const int64_t end : bucket.part_ends) {
    const auto row = static_cast<int32_t>(std::min(end / width, table_grad_.size(0)));
    touched_ends_.push_back(std::lower_bound(touched_.begin(), touched_.end(), row) - touched_.begin());
    ends.push_back(touched_ends_.back() * width);
  }
  tickets_.push_back(ends.empty() ? comm_.start_all_reduce(packed) : comm_.start_reduce_to_sharers(packed, ends));
}

TouchedRows GradReducer::touched() const {
  if (!table_grad_.defined()) return {};
  return {touched_index_, packed_rows()};
}

void GradReducer::finish() {
  parameters_.check_grads_are_views();
  for (; next_ < missing_.size(); ++next_) start(next_);
  for (const comm::Ticket ticket : tickets_) comm_.wait(ticket);
  if (!touched_.empty() && comm_.size() > 1) {
    at::NoGradGuard no_grad;
    int64_t begin = 0, end = touched_index_.numel();
    if (!touched_ends_.empty()) {
      const auto own = static_cast<size_t>(comm_.sharers().rank);
      begin = own == 0 ? 0 : touched_ends_[own - 1];
      end = touched_ends_[own];
    }
    table_grad_.index_copy_(0, touched_index_.slice(0, begin, end), packed_rows().slice(0, begin, end));
  }
}

}  // namespace berth::train
