// Compiled once per instruction set, with BERTH_ISA naming it.
#include "trainer/kernels/cpu/simd.h"
// After simd.h:
#include "trainer/kernels/cpu/activation.inl"
#include "trainer/kernels/cpu/attention.inl"
#include "trainer/kernels/cpu/loss.inl"
#include "trainer/kernels/cpu/rows.inl"

namespace berth::train::cpu {

#define BERTH_JOIN2(a, b) a##b
#define BERTH_JOIN(a, b) BERTH_JOIN2(a, b)
#define BERTH_STRING2(a) #a
#define BERTH_STRING(a) BERTH_STRING2(a)

#define BERTH_TYPED_TABLE(T)                                                                                                     \
  {                                                                                                                              \
    attention_forward<T>, attention_backward<T>, add_norm_forward<T>, add_norm_backward<T>, embed_forward<T>, embed_backward<T>, \
        dropout_rows<T>, activation_forward<T>, activation_backward<T>, cross_entropy_forward<T>, cross_entropy_backward<T>,     \
        add_column_sums<T>, round_products<T>                                                                                    \
  }

extern const Table BERTH_JOIN(kTable_, BERTH_ISA);
const Table BERTH_JOIN(kTable_, BERTH_ISA) = {BERTH_STRING(BERTH_ISA), BERTH_TYPED_TABLE(float), BERTH_TYPED_TABLE(Bf16),
                                              scatter_rows};

}  // namespace berth::train::cpu
