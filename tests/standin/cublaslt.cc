// A stand-in for libcublasLt: a product of matrices is the CPU's, on the shadows of its memory. Descriptions are kept where cuBLASLt keeps its
// own, in the caller's opaque structs; every algorithm is the same one. As strict as cuBLASLt about what fits together.
#include <cublasLt.h>

#include <algorithm>
#include <cstring>

#include "tests/standin/torch_tensors.h"

namespace berth::standin {
namespace {

struct Layout {
  cudaDataType type;
  uint64_t rows, columns;
  int64_t stride;
};
struct Product {
  cublasComputeType_t compute;
  cublasOperation_t transpose_a = CUBLAS_OP_N, transpose_b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
};

template <class T, class Opaque>
T& in(Opaque* opaque) {
  static_assert(sizeof(T) <= sizeof(Opaque));
  return *reinterpret_cast<T*>(opaque);
}

at::ScalarType type_of(const Layout& layout) {
  return layout.type == CUDA_R_32F ? at::kFloat : layout.type == CUDA_R_16BF ? at::kBFloat16 : at::kHalf;
}
size_t extent(const Layout& m) {
  if (m.rows == 0 || m.columns == 0) return 0;
  return ((m.columns - 1) * static_cast<size_t>(m.stride) + m.rows) * c10::elementSize(type_of(m));
}
// The matrix of columns as a tensor [columns, rows].
at::Tensor tensor(const void* data, const Layout& m) {
  return at::from_blob(shadow(data), {static_cast<int64_t>(m.columns), static_cast<int64_t>(m.rows)}, {m.stride, 1},
                       at::TensorOptions().dtype(type_of(m)));
}

// fp32 numbers with TF32's 10 bits behind the point: to the nearest.
at::Tensor in_tf32(const at::Tensor& x) { return x.view(at::kInt).add(1 << 12).bitwise_and(~((1 << 13) - 1)).view(at::kFloat); }

struct Sizes {
  Sizes(const Product& p, const Layout& a, const Layout& b)
      : m(p.transpose_a == CUBLAS_OP_T ? a.columns : a.rows),
        n(p.transpose_b == CUBLAS_OP_T ? b.rows : b.columns),
        k(p.transpose_a == CUBLAS_OP_T ? a.rows : a.columns),
        k_of_b(p.transpose_b == CUBLAS_OP_T ? b.columns : b.rows) {}
  uint64_t m, n, k, k_of_b;
};

bool fits(const Product& p, const Layout& a, const Layout& b, const Layout& c, const Layout& d) {
  const Sizes sizes(p, a, b);
  const bool strides = std::ranges::all_of(std::array{a, b, c, d}, [](const Layout& m) { return m.stride >= int64_t(m.rows); });
  return strides && sizes.k == sizes.k_of_b && a.type == b.type && (d.type == a.type || d.type == CUDA_R_32F) &&
         d.rows == sizes.m && d.columns == sizes.n && memcmp(&c, &d, sizeof c) == 0;
}

}  // namespace
}  // namespace berth::standin

using namespace berth::standin;

extern "C" {

const char* cublasLtGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS ? "CUBLAS_STATUS_SUCCESS" : "CUBLAS_STATUS_NOT_SUPPORTED";
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  static char anything;
  *handle = reinterpret_cast<cublasLtHandle_t>(&anything);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t layout, size_t, cudaDataType type, uint64_t rows,
                                                 uint64_t columns, int64_t stride) {
  in<Layout>(layout) = {type, rows, columns, stride};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t product, size_t, cublasComputeType_t compute,
                                               cudaDataType_t scale) {
  in<Product>(product) = Product{.compute = compute};
  return scale == CUDA_R_32F ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t product, cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t bytes) {
  Product& p = in<Product>(product);
  const auto set = [&](auto& field) {
    if (bytes != sizeof field) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(&field, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
  };
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return set(p.transpose_a);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return set(p.transpose_b);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return set(p.epilogue);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return set(p.bias);
    default:
      return CUBLAS_STATUS_NOT_SUPPORTED;
  }
}

cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t, size_t) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t, cublasLtMatmulPreferenceAttributes_t, const void*,
                                                    size_t) {
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t product, cublasLtMatrixLayout_t a,
                                              cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t, int wanted, cublasLtMatmulHeuristicResult_t results[],
                                              int* found) {
  *found = 0;
  if (wanted < 1 || !fits(in<Product>(product), in<Layout>(a), in<Layout>(b), in<Layout>(c), in<Layout>(d)))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  count("heuristics", "cuBLASLt");
  results[0] = {};
  *found = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t description, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout, const void* beta,
                              const void* c, cublasLtMatrixLayout_t c_layout, void* d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t*, void* workspace, size_t workspace_bytes, cudaStream_t stream) {
  if (hollow()) return CUBLAS_STATUS_SUCCESS;
  const Product& p = in<Product>(description);
  const Layout &of_a = in<Layout>(a_layout), &of_b = in<Layout>(b_layout), &of_c = in<Layout>(c_layout),
               &of_d = in<Layout>(d_layout);
  float factor = 0, before = 0;
  memcpy(&factor, alpha, sizeof factor);
  memcpy(&before, beta, sizeof before);
  if (!fits(p, of_a, of_b, of_c, of_d) || factor != 1 || c != d) return CUBLAS_STATUS_NOT_SUPPORTED;

  Launch launch(stream, "cublasLtMatmul");
  count("launches", "cublasLtMatmul");
  launch.touches({a, extent(of_a), false});
  launch.touches({b, extent(of_b), false});
  launch.touches({d, extent(of_d), true});
  launch.touches({workspace, workspace_bytes, true});
  const at::AutoDispatchBelowADInplaceOrView no_graph;
  at::Tensor ta = tensor(a, of_a), tb = tensor(b, of_b), td = tensor(d, of_d);  // transposed: d^T = b^T a^T
  if (p.compute == CUBLAS_COMPUTE_32F_FAST_TF32) ta = in_tf32(ta), tb = in_tf32(tb);
  if (p.transpose_a == CUBLAS_OP_T) ta = ta.t();
  if (p.transpose_b == CUBLAS_OP_T) tb = tb.t();
  if (p.epilogue == CUBLASLT_EPILOGUE_BIAS) {
    const size_t bytes = of_d.rows * c10::elementSize(type_of(of_d));
    launch.touches({p.bias, bytes, false});
    const at::Tensor bias = at::from_blob(shadow(p.bias), {static_cast<int64_t>(of_d.rows)}, td.options());
    td.copy_(at::addmm(bias, tb, ta));
  } else if (before == 0) {
    td.copy_(at::mm(tb, ta));
  } else if (of_d.type == of_a.type) {
    td.addmm_(tb, ta);
  } else {
    td.add_(at::mm(tb.to(at::kFloat), ta.to(at::kFloat)));
  }
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
