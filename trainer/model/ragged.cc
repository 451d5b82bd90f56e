#include "trainer/model/ragged.h"

#include "trainer/kernels/ops.h"

namespace berth::train {

at::Tensor row_counts(const at::Tensor& cu) {
  const at::Tensor ends = cu.to(at::kLong);
  return ends.slice(0, 1) - ends.slice(0, 0, -1);
}

at::Tensor padded_rows(const at::Tensor& rows, const at::Tensor& cu, int64_t width, double fill) {
  const int64_t samples = cu.size(0) - 1, columns = rows.size(1);
  const at::Tensor places = padded_places(row_counts(cu), width, rows.size(0));
  const at::Tensor empty = at::full({samples * width, columns}, fill, rows.options().dtype(at::kFloat));
  return empty.index_copy(0, places, rows.to(at::kFloat)).view({samples, width, columns});
}

at::Tensor pool_documents(const at::Tensor& rows, const at::Tensor& cu, int64_t most_rows, DocumentPooling pooling) {
  switch (pooling) {
    case DocumentPooling::kFirst:
      return rows.to(at::kFloat).index_select(0, cu.slice(0, 0, -1));
    case DocumentPooling::kMax:
      return std::get<0>(padded_rows(rows, cu, most_rows, -std::numeric_limits<double>::infinity()).max(1));
    default:
      return padded_rows(rows, cu, most_rows, 0).sum(1) / row_counts(cu).unsqueeze(1);
  }
}

}  // namespace berth::train
