// Tensors as the kernels' plain arguments.
#pragma once

#include "trainer/kernels/cpu/args.h"
#include "trainer/kernels/dropout.h"

namespace berth::train {

inline kernels::DropoutArgs arguments(const Dropout& dropout) {
  return {dropout.key[0], dropout.key[1], dropout.on() ? dropout.threshold() : 0, dropout.on() ? dropout.scale() : 1.f};
}
inline kernels::RowArgs arguments(const RowIds& rows, int64_t columns) {
  if (!rows.samples.defined()) return {nullptr, nullptr, columns};  // without dropout nothing depends on them
  return {rows.samples.const_data_ptr<int64_t>(), rows.positions.const_data_ptr<int32_t>(), columns};
}

}  // namespace berth::train
